/** The mounts that root file systems consist of, as calls. Pure. */
import { type Call, mountFlags } from './calls.ts'

/** The source of every mount of ours, as /proc/mounts shows it. */
export const ourSource = 'shoal'

const { readOnly, noSetuid, noDevices } = mountFlags

/** The descriptor is number 3 in the child that makes the call. */
export function fuseMount(target: string): Call {
  const options: [string, string][] = [
    ['source', ourSource],
    ['fd', '3'],
    ['rootmode', '40000'],
    ['user_id', '0'],
    ['group_id', '0'],
  ]
  return { do: 'mount', type: 'fuse', options, flags: readOnly | noSetuid | noDevices, target }
}

/**
 * `device`: the unpacked layer that the metadata points into. Only one that is a file of a disk is read past the page
 * cache: requests to FUSE would come in no order then, and who fetches for them could not tell who reads on.
 */
export function layerMount(metadata: string, device: string, onDisk: boolean, target: string): Call {
  const options: [string, string][] = [
    ['source', metadata],
    ['device', device],
  ]
  const flags = readOnly | noSetuid | noDevices
  return { do: 'mount', type: 'erofs', options, device, onDisk, flags, target }
}

export interface RootMount {
  /** Mounted layers, the lowest first, as manifests list them. */
  readonly layers: readonly string[]
  readonly empty: string
  /** Folders that it keeps for itself as long as it is there, wherever it is mounted; changes go there. */
  readonly writable?: { readonly upper: string; readonly work: string } | undefined
  /** There are changes; not without folders for them. */
  readonly rw: boolean
  /** Whether programs get the rights of their files' owners, and device nodes open devices, for whoever reaches them. */
  readonly suid: boolean
  readonly dev: boolean
  readonly target: string
}

export function rootMount({ layers, empty, writable, rw, suid, dev, target }: RootMount): Call {
  const lower = [...layers].reverse().concat(empty)
  const upper: [string, string][] = writable
    ? [
        ['upperdir', writable.upper],
        ['workdir', writable.work],
      ]
    : []
  // Of the file system itself: with folders for changes it is read-only by its mount alone, and others may be made of it.
  const sealed: [string][] = rw ? [] : [['ro']]
  return {
    do: 'mount',
    type: 'overlay',
    // One by one: paths may have colons and commas, and there may be more than a page of them.
    options: [
      ['source', ourSource],
      ...sealed,
      ...lower.map((path): [string, string] => ['lowerdir+', path]),
      ...upper,
    ],
    flags: (rw ? 0 : readOnly) | (suid ? 0 : noSetuid) | (dev ? 0 : noDevices),
    target,
  }
}
