/** What is to be done to a host so that containerd has a snapshotter of shoal's there, or has none any more. Pure. */
import { join } from 'node:path'
import { mounterName, places, snapshotterName } from './places.ts'
import type { Change, Systemd } from './plan.ts'
import type { Running } from './running.ts'
import type { Step } from './step.ts'

export interface SnapshotterWanted {
  readonly systemd: Systemd
  /** The binary in its place is this one. */
  readonly binarySame: boolean
  readonly units: { readonly mounter: Change; readonly snapshotter: Change }
  readonly running: { readonly mounter: Running; readonly snapshotter: Running }
  readonly start: boolean
}

/**
 * A mounter that runs is never restarted: it has mounts that containers read. It becomes the new program with them; a
 * changed unit counts from its next start.
 */
export function snapshotterPlan({ systemd, binarySame, units, running, start }: SnapshotterWanted): Step[] {
  if (systemd === 'absent') return []
  const systemctl = (...words: string[]): Step => ({ do: 'run', command: ['systemctl', ...words] })
  const written = [...write(places.mounterUnit, units.mounter), ...write(places.snapshotterUnit, units.snapshotter)]
  const enable = systemctl('enable', mounterName, snapshotterName)
  if (systemd === 'present') return [...written, enable]
  const { mounter, snapshotter } = running
  const unread = mounter.unread || snapshotter.unread
  const sameUnit = units.snapshotter.before === units.snapshotter.after && !snapshotter.unread
  const snapshotterSame = snapshotter.active && binarySame && !snapshotter.outdated && sameUnit
  return [
    ...written,
    ...(written.length > 0 || unread ? [systemctl('daemon-reload')] : []),
    enable,
    ...(start && !mounter.active ? [systemctl('start', mounterName)] : []),
    ...(start && mounter.active && (!binarySame || mounter.outdated) ? [systemctl('reload', mounterName)] : []),
    ...(start && !snapshotterSame ? [systemctl('restart', snapshotterName)] : []),
  ]
}

export interface SnapshotterFound {
  readonly systemd: Systemd
  readonly mounterUnit: boolean
  readonly snapshotterUnit: boolean
  /** The process of a mounter that no unit runs, and that has nothing to do. */
  readonly idleMounter?: number | undefined
  /** Directories of data that are there, and names in them. */
  readonly data: readonly { readonly path: string; readonly names: readonly string[] }[]
  readonly keepData: boolean
}

export function snapshotterRemoval({ systemd, keepData, data, ...found }: SnapshotterFound): Step[] {
  // The one that needs the other first.
  const units = [
    { there: found.snapshotterUnit, name: snapshotterName, path: places.snapshotterUnit },
    { there: found.mounterUnit, name: mounterName, path: places.mounterUnit },
  ].filter(({ there }) => there)
  const now = systemd === 'running' ? ['--now'] : []
  return [
    ...(systemd === 'absent'
      ? []
      : units.map(({ name }): Step => ({ do: 'run', command: ['systemctl', 'disable', ...now, name] }))),
    ...units.map(({ path }): Step => ({ do: 'remove', path })),
    ...(units.length > 0 && systemd === 'running'
      ? [{ do: 'run', command: ['systemctl', 'daemon-reload'] } as const]
      : []),
    ...(found.idleMounter === undefined ? [] : [{ do: 'end-mounter', pid: found.idleMounter } as const]),
    ...(keepData ? [] : data.flatMap(emptied)),
  ]
}

/** A disk may be mounted there, which cannot be removed. */
function emptied({ path, names }: SnapshotterFound['data'][number]): Step[] {
  const inside = names.map((name): Step => ({ do: 'remove', path: join(path, name) }))
  return [...inside, { do: 'remove-directory', path }]
}

function write(path: string, { before, after }: Change): Step[] {
  return before === after || after === undefined ? [] : [{ do: 'write', path, text: after }]
}
