/**
 * What a mounter that ended, however it ended, has left. Root file systems whose layers are all mounted from their own
 * files work on, and are taken over; the others answer with errors, and are taken away.
 */
import { existsSync, mkdirSync, readdirSync, realpathSync, rmdirSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import type { Log } from '../../telemetry/log.ts'
import type { Kernel } from '../kernel/kernel.ts'
import { isOurRoot, type MountEntry, mountTable, ourMounts } from '../kernel/table.ts'
import { imagesMounted } from './mounted.ts'
import type { Places } from './places.ts'
import type { State } from './state.ts'

/** What of the state is mounted, or in use where it is not. Pure. */
export function standing(state: State, table: readonly MountEntry[], places: Places): State {
  const mounted = new Set(table.map(({ target }) => target))
  const layers = state.layers.flatMap((layer) => {
    const unplaced = !mounted.has(join(places.layers, layer.id))
    return unplaced && !layer.opened ? [] : [{ ...layer, unplaced }]
  })
  const ids = new Set(layers.map(({ id }) => id))
  const roots = new Set(table.filter(isOurRoot).map(({ target }) => target))
  const mounts = state.mounts.filter(({ dir, layers }) => roots.has(dir) && layers.every((id) => ids.has(id)))
  const kept = new Set(mounts.map(({ dir }) => `mount:${dir}`))
  return {
    ...state,
    mounts,
    // Holders that are no mounts of ours know by themselves what they need, and ask for it again. What nobody held is in use.
    layers: layers.flatMap((layer) => {
      const { unplaced, holders: before } = layer
      const holders = before.filter((holder) => kept.has(holder) || !(unplaced || holder.startsWith('mount:')))
      return holders.length > 0 || before.length === 0 || unplaced ? [{ ...layer, holders }] : []
    }),
  }
}

/** What of it works without the process that mounted it. Pure. */
export function working(state: State, table: readonly MountEntry[], places: Places): State {
  const layers = state.layers.filter(({ served }) => served === 'file')
  // What is in use out of sight works by itself; after a start of the host its name may be another's.
  return standing({ ...state, layers: layers.map((layer) => ({ ...layer, opened: 0 })) }, table, places)
}

/** Of a mounter that ended. @returns what goes on */
export async function takeOver(places: Places, before: State, kernel: Kernel, log: Log): Promise<State> {
  const table = mountTable()
  const state = working(before, table, asMounted(places))
  await detachStale(table, places, before, state, [], kernel, log)
  for (const dir of [places.files, places.layers, places.empty, places.writable]) {
    mkdirSync(dir, { recursive: true, mode: 0o700 })
  }
  removeStale(places, state, log)
  return state
}

/** Of the mounter that became this one, which may have been about to mount or unmount. @returns what goes on */
export function goOn(places: Places, before: State, log: Log): State {
  const state = standing(before, mountTable(), asMounted(places))
  const [mounts, layers] = [before.mounts.length - state.mounts.length, before.layers.length - state.layers.length]
  if (mounts > 0 || layers > 0)
    log.warn('some of what was known to be mounted is not, or nobody holds it', { mounts, layers })
  return state
}

/** What {@link goOn} does not go on with. Not before reads are answered: the kernel may wait for one. */
export async function clearAway(places: Places, before: State, state: State, kernel: Kernel, log: Log): Promise<void> {
  try {
    await detachStale(mountTable(), places, before, state, [asMounted(places).files], kernel, log)
    removeStale(places, state, log)
  } catch (error) {
    log.warn('stale mounts stay', { error: (error as Error).message })
  }
}

async function detachStale(
  table: readonly MountEntry[],
  places: Places,
  before: State,
  state: State,
  kept: readonly string[],
  kernel: Kernel,
  log: Log,
): Promise<void> {
  const { files, layers } = asMounted(places)
  const stay = new Set([
    ...kept,
    ...state.mounts.map(({ dir }) => dir),
    ...state.layers.map(({ id }) => join(layers, id)),
  ])
  const dirs = new Set(before.mounts.map(({ dir }) => dir))
  const stale = ourMounts(table, dirname(files), dirs).filter(({ target }) => !stay.has(target))
  for (const { target, why } of await kernel.detach(stale.map(({ target }) => target))) {
    log.warn('a stale mount stays', { target, why })
  }
  if (stale.length > 0)
    log.warn('what the mounter before left and does not work is unmounted', { mounts: stale.length })
}

function removeStale(places: Places, state: State, log: Log): void {
  const table = mountTable()
  const known = new Set(state.mounts.map(({ dir }) => dir))
  for (const dir of imagesMounted(table, places)) {
    if (!known.has(dir))
      log.warn('an image stays mounted of which nothing is known', { dir, remedy: `shoal umount ${dir}` })
  }
  const kept = new Set(state.layers.map(({ id }) => id))
  for (const name of readdirSync(places.layers)) {
    if (!kept.has(name)) removeFolder(join(places.layers, name), log)
  }
}

/** As the kernel lists them: without links, such as /var/run. Nothing that is mounted there is looked at. */
function asMounted(places: Places): Places {
  const run = dirname(places.layers)
  const real = existsSync(run) ? realpathSync(run) : run
  return { ...places, files: join(real, basename(places.files)), layers: join(real, basename(places.layers)) }
}

function removeFolder(path: string, log: Log): void {
  try {
    rmdirSync(path)
  } catch (error) {
    log.warn('the folder of a layer stays', { path, error: (error as Error).message })
  }
}
