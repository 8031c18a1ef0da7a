/**
 * What a mounter that ended, however it ended, has left. Root file systems whose layers are all mounted from their own
 * files work on, and are taken over; the others answer with errors, and are taken away.
 */
import { mkdirSync, readdirSync, rmdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Log } from '../../telemetry/log.ts'
import type { Kernel } from '../kernel/kernel.ts'
import { isOurRoot, type MountEntry, mountTable, ourMounts } from '../kernel/table.ts'
import type { Places } from './places.ts'
import type { State } from './state.ts'

/** What of the state is still there and works. Pure. */
export function working(state: State, table: readonly MountEntry[], places: Places): State {
  const mounted = new Set(table.map(({ target }) => target))
  const layers = state.layers.filter(({ id, served }) => served === 'file' && mounted.has(join(places.layers, id)))
  const ids = new Set(layers.map(({ id }) => id))
  const roots = new Set(table.filter(isOurRoot).map(({ target }) => target))
  const mounts = state.mounts.filter(({ dir, layers }) => roots.has(dir) && layers.every((id) => ids.has(id)))
  const kept = new Set(mounts.map(({ dir }) => `mount:${dir}`))
  return {
    ...state,
    mounts,
    // Holders that are no mounts of ours know by themselves what they need, and ask for it again.
    layers: layers.flatMap((layer) => {
      const holders = layer.holders.filter((holder) => !holder.startsWith('mount:') || kept.has(holder))
      return holders.length > 0 ? [{ ...layer, holders }] : []
    }),
  }
}

/** @returns what goes on */
export async function takeOver(places: Places, before: State, kernel: Kernel, log: Log): Promise<State> {
  const table = mountTable()
  const state = working(before, table, places)
  const kept = new Set([
    ...state.mounts.map(({ dir }) => dir),
    ...state.layers.map(({ id }) => join(places.layers, id)),
  ])
  const dirs = new Set(before.mounts.map(({ dir }) => dir))
  const stale = ourMounts(table, join(places.files, '..'), dirs).filter(({ target }) => !kept.has(target))
  for (const { target, why } of await kernel.detach(stale.map(({ target }) => target))) {
    log.warn('a stale mount stays', { target, why })
  }
  if (stale.length > 0)
    log.warn('what the mounter before left and does not work is unmounted', { mounts: stale.length })
  for (const dir of [places.files, places.layers, places.empty, places.writable]) {
    mkdirSync(dir, { recursive: true, mode: 0o700 })
  }
  // What was written to root file systems goes with them, as it does when they are unmounted.
  const written = new Set(state.mounts.map(({ writable }) => writable))
  for (const name of readdirSync(places.writable)) {
    const path = join(places.writable, name)
    if (!written.has(path)) rmSync(path, { recursive: true, force: true })
  }
  for (const name of readdirSync(places.layers)) {
    if (!kept.has(join(places.layers, name))) removeFolder(join(places.layers, name), log)
  }
  return state
}

function removeFolder(path: string, log: Log): void {
  try {
    rmdirSync(path)
  } catch (error) {
    log.warn('the folder of a layer stays', { path, error: (error as Error).message })
  }
}
