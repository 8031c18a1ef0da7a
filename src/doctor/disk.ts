/** Whether the disk that holds the data is fit for it. Pure. */
import prettyBytes from 'pretty-bytes'
import { type Finding, findingsOf } from './finding.ts'
import type { Ways } from './ways.ts'

export interface DiskFacts {
  readonly dataDir: string
  /** The directory is there already. */
  readonly exists: boolean
  /** Of the file system that holds it, or will. */
  readonly mount: { readonly point: string; readonly kind: string; readonly readOnly: boolean }
  readonly free: number
  readonly total: number
  /** 0 where the file system has no fixed number of them. */
  readonly inodes: { readonly free: number; readonly total: number }
  /** What blobs may take, and what is to stay free. */
  readonly limit: number
  readonly keepFree: number
  /** Whoever runs the node may write there, as far as can be told from here: the node that runs can. */
  readonly writable: boolean
  /** Entries that belong to others than the directory does, with whom that is. */
  readonly strays: { readonly owner: string; readonly names: readonly string[] }
}

const { good, note, warning, problem } = findingsOf('disk')

const remote = /^(nfs|cifs|smb|ceph|9p|afs|glusterfs|fuse\.(sshfs|glusterfs|s3fs|rclone))/
const memory = new Set(['tmpfs', 'ramfs'])
/** They have no sparse files: each blob takes its whole length from the first piece on. */
const plain = new Set(['vfat', 'exfat', 'msdos'])
/** Smaller than the layers of one usual image. */
const little = 1024 ** 3

export function judgeDisk(facts: DiskFacts, ways: Ways): Finding[] {
  const { dataDir, mount, free, total, limit } = facts
  const found = [...ofAccess(facts, ways), ...ofSpace(facts, ways), ...ofKind(facts, ways)]
  if (found.some(({ level }) => level !== 'note')) return found
  const room = `${bytes(free)} free of ${bytes(total)} (${mount.kind}), ${bytes(limit)} for blobs`
  return [good(`${dataDir}: ${room}`), ...found]
}

function ofAccess({ dataDir, exists, mount, writable, strays }: DiskFacts, ways: Ways): Finding[] {
  if (mount.readOnly) {
    const why = 'a node keeps what it fetches there, and does not start without'
    return [
      problem(`${dataDir} is on a read-only file system (${mount.point})`, {
        why,
        remedy: `mount -o remount,rw ${mount.point}, or another --data-dir`,
      }),
    ]
  }
  const found: Finding[] = []
  if (!writable) {
    found.push(
      problem(`this user may not write to ${dataDir}`, {
        why: 'a node of this user would not start',
        remedy: exists
          ? `run as who owns it (ls -ld ${dataDir}), or: ${ways.set('--data-dir DIR')}`
          : ways.set('--data-dir DIR'),
      }),
    )
  }
  if (strays.names.length > 0) {
    const more = strays.names.length - 3
    const some = strays.names.slice(0, 3).join(', ') + (more > 0 ? ` and ${more} more` : '')
    found.push(
      problem(
        `${some} in ${dataDir} ${strays.names.length === 1 ? 'is' : 'are'} not of ${strays.owner}, who owns the directory`,
        {
          why: 'a node was run by hand as somebody else; the one that runs as the owner cannot open those files',
          remedy: `chown -R ${strays.owner}: ${dataDir}`,
        },
      ),
    )
  }
  return found
}

function ofSpace({ mount, free, inodes, limit, keepFree }: DiskFacts, ways: Ways): Finding[] {
  const found: Finding[] = []
  if (free <= keepFree) {
    found.push(
      warning(`${bytes(free)} are free on ${mount.point}, and ${bytes(keepFree)} are to stay free (--keep-free)`, {
        why: 'nothing new is kept or shared: pulls go through the node, and each reads the registry again',
        remedy: 'shoal gc --to 0   # or free some space otherwise, or a larger disk by --data-dir',
      }),
    )
  } else if (limit < little) {
    found.push(
      warning(`blobs may take ${bytes(limit)} only (--cache-size)`, {
        why: 'one usual image is larger: blobs are dropped before others have asked for them',
        remedy: `${ways.set('--cache-size 20GiB')}   # where there is space for it, perhaps with another --data-dir`,
      }),
    )
  }
  if (inodes.total > 0 && inodes.free / inodes.total < 0.02) {
    const level = inodes.free === 0 ? problem : warning
    found.push(
      level(`${inodes.free} of ${inodes.total} inodes are free on ${mount.point}`, {
        why: 'each blob is a file: without inodes none can be made, however many bytes are free',
        remedy: `du --inodes -x ${mount.point} | sort -n | tail   # what has so many files`,
      }),
    )
  }
  return found
}

function ofKind({ dataDir, mount }: DiskFacts, ways: Ways): Finding[] {
  const { kind, point } = mount
  const remedy = `${ways.set('--data-dir DIR')}   # on a disk of this host`
  if (remote.test(kind)) {
    const why =
      'each byte would cross the network once more, and the catalog (SQLite) wants locks that such a file system may not keep'
    return [warning(`${dataDir} is on ${kind}, a file system of another host`, { why, remedy })]
  }
  if (memory.has(kind)) {
    const why = 'what is stored takes memory, and is gone after a restart of the host'
    return [warning(`${dataDir} is in memory (${kind} at ${point})`, { why, remedy })]
  }
  if (plain.has(kind)) {
    const why = 'it has no sparse files and no owners: a blob takes its whole length from its first piece on'
    return [warning(`${dataDir} is on ${kind}`, { why, remedy })]
  }
  if (kind === 'overlay') return [note(`${dataDir} is in a container's own file system: it goes with the container`)]
  return []
}

function bytes(count: number): string {
  return prettyBytes(Math.max(0, count), { binary: true })
}
