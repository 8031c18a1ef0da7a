/** The disk below the data directory, by statfs(2) and the table of mounts. */
import {
  accessSync,
  constants,
  existsSync,
  lstatSync,
  readdirSync,
  readFileSync,
  realpathSync,
  statfsSync,
  statSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import type { StoreSettings } from '../../config/settings.ts'
import { ownData } from '../../install/places.ts'
import { nameOf } from '../../local/users.ts'
import type { DiskFacts } from '../disk.ts'

export function lookAtDisk({ dataDir, cacheBytes, keepFree }: StoreSettings): DiskFacts {
  let there = dataDir
  while (!existsSync(there) && dirname(there) !== there) there = dirname(there)
  const { bavail, blocks, bsize, files, ffree } = statfsSync(there)
  const total = blocks * bsize
  return {
    dataDir,
    exists: there === dataDir,
    mount: mountOf(readFileSync('/proc/self/mountinfo', 'utf8'), realpathSync(there)),
    free: bavail * bsize,
    total,
    inodes: { free: ffree, total: files },
    limit: cacheBytes,
    keepFree: 'bytes' in keepFree ? keepFree.bytes : keepFree.share * total,
    writable: isWritable(there),
    strays: straysIn(dataDir),
  }
}

/** proc_pid_mountinfo(5): the mount that a path is on. Later lines lie over earlier ones. Pure. */
export function mountOf(mountinfo: string, path: string): DiskFacts['mount'] {
  let best = { point: '/', kind: 'unknown', readOnly: false }
  for (const line of mountinfo.split('\n')) {
    const [left = '', right = ''] = line.split(' - ')
    const fields = left.split(' ')
    const point = (fields[4] ?? '').replace(/\\([0-7]{3})/g, (_, octal: string) =>
      String.fromCharCode(Number.parseInt(octal, 8)),
    )
    const within = point !== '' && (path === point || path.startsWith(point === '/' ? '/' : `${point}/`))
    if (!within || point.length < best.point.length) continue
    const [kind = 'unknown', , options = ''] = right.split(' ')
    const readOnly = [fields[5] ?? '', options].some((list) => list.split(',').includes('ro'))
    best = { point, kind, readOnly }
  }
  return best
}

function isWritable(path: string): boolean {
  try {
    accessSync(path, constants.W_OK)
    return true
  } catch {
    return false
  }
}

/** Of what a node makes, which is not the owner's of the directory. */
function straysIn(dataDir: string): DiskFacts['strays'] {
  const owner = statSync(dataDir, { throwIfNoEntry: false })?.uid
  if (owner === undefined) return { owner: '', names: [] }
  const names = namesIn(dataDir).filter((name) => ownData.test(name))
  return { owner: nameOf(owner), names: names.flatMap((name) => straysAt(dataDir, name, owner, statSync)) }
}

/**
 * Itself, or else what is below it: as root a node makes folders also below those of the owner. `stat`: what is right in
 * the directory may be a link to another disk; below it a link is what it is.
 */
function straysAt(dataDir: string, name: string, owner: number, stat: typeof lstatSync): string[] {
  const found = stat(join(dataDir, name), { throwIfNoEntry: false })
  if (found === undefined) return []
  if (found.uid !== owner) return [name]
  if (!found.isDirectory()) return []
  return namesIn(join(dataDir, name)).flatMap((below) => straysAt(dataDir, join(name, below), owner, lstatSync))
}

function namesIn(path: string): string[] {
  try {
    return readdirSync(path).sort()
  } catch {
    return []
  }
}
