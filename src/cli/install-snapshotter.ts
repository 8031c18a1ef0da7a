/** `shoal install --snapshotter`: the two services, and containerd's configuration; and how that is taken back. */
import { Backup } from '../configure/backup.ts'
import { diffOf } from '../configure/diff.ts'
import { Disk } from '../configure/disk.ts'
import type { Edit, Plan } from '../configure/plan.ts'
import { settingOf } from '../configure/setting.ts'
import { planSnapshotter, planSnapshotterUndo, withoutSnapshotter } from '../configure/snapshotter.ts'
import { mounterUnit, snapshotterUnit } from '../install/bundled.ts'
import type { Machine } from '../install/machine.ts'
import { mounterName, places, snapshotterName } from '../install/places.ts'
import { snapshotterPlan, snapshotterRemoval } from '../install/snapshotter-plan.ts'
import type { Step } from '../install/step.ts'
import { type HostFacts, whyNot } from '../mount/kernel/support.ts'
import { mountTable } from '../mount/kernel/table.ts'
import { usualSocket } from '../mount/mounter/api.ts'
import { MounterClient, NoMounter } from '../mount/mounter/client.ts'
import { imagesMounted } from '../mount/mounter/mounted.ts'
import { CommandError } from './exit.ts'

/** Its folder of originals, beside those of engines. */
const backupName = 'snapshotter'

/** A host with the snapshotter has it brought up to date with everything else. */
export function hasSnapshotter(machine: Machine): boolean {
  return machine.exists(places.snapshotterUnit)
}

/** @throws {CommandError} where the mounter would end again as often as it is started */
export function refuseWithoutMounts({ systemd }: Machine, lazy: HostFacts): void {
  // A system that is being made is booted by a kernel of its own.
  if (systemd === 'present') return
  const problem = whyNot({ ...lazy, root: true }, 'leave out --snapshotter')
  if (problem) throw new CommandError(problem)
}

export function snapshotterSteps(machine: Machine, binarySame: boolean, start: boolean): Step[] {
  return snapshotterPlan({
    systemd: machine.systemd,
    binarySame,
    units: {
      mounter: { before: machine.read(places.mounterUnit), after: mounterUnit },
      snapshotter: { before: machine.read(places.snapshotterUnit), after: snapshotterUnit },
    },
    running: { mounter: machine.unit(mounterName), snapshotter: machine.unit(snapshotterName) },
    start,
  })
}

export function removalSteps(machine: Machine, keepData: boolean, idleMounter?: number): Step[] {
  return snapshotterRemoval({
    systemd: machine.systemd,
    mounterUnit: machine.exists(places.mounterUnit),
    snapshotterUnit: machine.exists(places.snapshotterUnit),
    data: [places.snapshotterData, places.mounterData].flatMap((path) => {
      const names = machine.names(path)
      return names ? [{ path, names }] : []
    }),
    keepData,
    idleMounter,
  })
}

/** Each client of containerd has a namespace of its own, and ctr by itself sees one. */
const listing =
  'ctr -n NAMESPACE snapshots --snapshotter shoal ls, where NAMESPACE is k8s.io for Kubernetes, moby for Docker, default for nerdctl and ctr'

/** @throws {CommandError} as long as containerd has file systems there: they would be gone from below it */
export function refuseWhileUsed(machine: Machine): void {
  const folders = machine.names(`${places.snapshotterData}/snapshots`) ?? []
  const used = folders.filter((name) => /^\d+$/.test(name)).length
  if (used === 0) return
  throw new CommandError(
    `containerd has ${used} snapshots in ${places.snapshotterData}: remove the containers and images that use the ` +
      `snapshotter shoal first (${listing}), or keep them with --keep-data`,
  )
}

/**
 * @throws {CommandError} as long as images are mounted, also where data stays: without the mounter they cannot be read,
 * and there would be no `shoal umount` any more
 */
export function refuseWhileMounted(machine: Machine): void {
  const dirs = imagesMounted(mountTable(machine.read('/proc/self/mountinfo') ?? ''))
  if (dirs.length === 0) return
  const one = dirs.length === 1
  throw new CommandError(
    `${one ? 'an image is' : 'images are'} mounted at ${dirs.join(' and ')}, which would be gone, and all that was ` +
      `written there: shoal umount ${dirs.join(' ')}`,
  )
}

/**
 * The mounter that `shoal mount` started here, if it has nothing to do any more. One that somebody else runs would be
 * back at once, or is missed.
 * @throws {CommandError} as long as one that cannot be ended has its data here
 */
export async function idleMounter(machine: Machine, keepData: boolean): Promise<number | undefined> {
  const facts = await new MounterClient(machine.at(usualSocket)).facts().catch((error: unknown) => {
    if (error instanceof NoMounter) return undefined
    throw error
  })
  if (!facts || facts.pid === machine.unit(mounterName).pid) return undefined
  const { pid, layers, mounts } = facts
  const busy = layers + mounts > 0
  const byMount = machine.commandOf(pid).at(-1) === 'mounter'
  if (byMount && !busy) return pid
  if (keepData) return undefined
  throw new CommandError(
    busy
      ? `the mounter (process ${pid}) serves ${layers} layers of images: end what uses them first (shoal mounts; ${listing})` +
          (mounts > 0 ? '' : outOfSight)
      : `a mounter runs here (process ${pid}), which neither shoal mount nor a unit has started: end it first`,
  )
}

/** Of layers that no mount of an image has, some may be in use where no command lists them. */
const outOfSight =
  '; where those list nothing, containers or other mount namespaces still have what was unmounted: stopping them frees it'

export interface Configured {
  /** For people: what differs, and what to do. */
  readonly lines: readonly string[]
  write(): void
}

/** What containerd's configuration becomes; `root`: the folder that stands for `/`. @throws {Refusal} */
export function containerdFor(root = '/'): Configured {
  const disk = new Disk(root)
  const { file, major } = settingOf('containerd', undefined, root === '/')
  if (root === '/' && !Bun.which('containerd') && disk.read(file) === undefined)
    throw new CommandError('there is no containerd on this host; install it first, or leave out --snapshotter')
  const backup = new Backup(disk, places.undo, backupName)
  const platform = `linux/${process.arch === 'arm64' ? 'arm64' : 'amd64'}`
  const { snapshotterSocket: socket, snapshotterData: dataDir } = places
  const plan = planSnapshotter({ file, major, socket, dataDir, platform }, disk)
  const kept = backup.kept()[0]
  const originalOf = ({ path, before }: Edit) => {
    if (before === undefined) return undefined
    // Somebody changed it since: that belongs to what is gone back to.
    return kept?.ours(before) ? kept.original : withoutSnapshotter(before, path, kept?.original)
  }
  const originals = new Map(plan.edits.map((edit) => [edit, originalOf(edit)]))
  return {
    lines: linesOf(plan),
    write() {
      if (plan.edits.length === 0) return
      backup.note(plan.edits, [], (edit) => originals.get(edit))
      disk.write(plan.edits)
    },
  }
}

export interface Undone extends Configured {
  /** Nothing was written there since. */
  readonly latest: boolean
}

/** The way back. */
export function containerdWithout(root = '/'): Undone {
  const disk = new Disk(root)
  const backup = new Backup(disk, places.undo, backupName)
  const kept = backup.kept()
  const plan = planSnapshotterUndo(kept, disk)
  return {
    latest: kept.every(({ path, ours }) => ours(disk.read(path))),
    lines: linesOf(plan),
    write() {
      disk.write(plan.edits, (path) => kept.find((each) => each.path === path)?.manner)
      backup.remove()
    },
  }
}

function linesOf({ edits, notes, effect }: Plan): string[] {
  return [
    ...edits.map((edit) => diffOf(edit)),
    ...notes.map((note) => `Note: ${note}`),
    ...(effect === 'restart'
      ? ['containerd reads its configuration only when it starts: systemctl restart containerd (containers go on)']
      : []),
  ]
}
