/**
 * Trees of files, compared: what GNU tar unpacks, what engines do, and what a mount of the index shows. A tree is read by
 * `tar -c`, so that everything counts that a tar can say: names, bytes, modes, owners, times, links, devices, attributes.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { erofsOf } from '../../src/erofs/image.ts'
import type { LayerEntry } from '../../src/tar/entry.ts'
import { TarReader } from '../../src/tar/reader.ts'
import { tryRun } from './run.ts'

/** The index of a tar, beside it. */
export interface Indexed {
  readonly image: string
  readonly data: string
  readonly entries: number
  readonly imageBytes: number
  /** Of reading the tar, and of making the image. */
  readonly ms: { readonly read: number; readonly make: number }
}

export async function indexTar(tar: string, image = `${tar}.erofs`): Promise<Indexed> {
  const entries: LayerEntry[] = []
  const reader = new TarReader({ entry: (entry) => void entries.push(entry), data: () => {} })
  let dataBytes = 0
  let spent = 0
  for await (const bytes of Bun.file(tar).stream()) {
    const start = performance.now()
    reader.push(bytes)
    spent += performance.now() - start
    dataBytes += bytes.length
  }
  reader.end()
  const start = performance.now()
  const bytes = erofsOf(entries, { dataBytes })
  const make = performance.now() - start
  writeFileSync(image, bytes)
  return { image, data: tar, entries: entries.length, imageBytes: bytes.length, ms: { read: spent, make } }
}

/** A command where each image is mounted at its folder, in a mount namespace that ends with it. */
export function withMounts(mounts: readonly (readonly [Indexed, dir: string])[], command: readonly string[]): string[] {
  const places = mounts.flatMap(([{ image, data }, dir]) => [image, data, dir])
  const script = join(import.meta.dir, 'mounted.ts')
  // A mount that hangs would hang whoever looks below it.
  return ['timeout', '--kill-after=5', '280', 'unshare', '-m', process.execPath, script, ...places, '--', ...command]
}

/** Why nothing can be mounted here; undefined when it can. */
export async function mountObstacle(what: string): Promise<string | undefined> {
  const reason =
    process.getuid?.() !== 0
      ? 'mounting needs root'
      : (await tryRun(['grep', '-qw', 'erofs', '/proc/filesystems'])).code !== 0 &&
          (await tryRun(['modprobe', 'erofs'])).code !== 0
        ? 'this kernel has no EROFS'
        : undefined
  if (reason !== undefined) console.log(`skipping ${what}: ${reason}`)
  return reason
}

/** Reads a tree; `name` is where it begins. */
export function readCommand(dir: string): string[] {
  return [
    ...['tar', '-C', dir, '--sort=name', '--format=posix', '--pax-option=delete=atime,delete=ctime'],
    ...['--numeric-owner', '--xattrs', '--xattrs-include=*', '-cf', '-', '.'],
  ]
}

/** What each name of a tree is, as one line. @throws when the command does */
export async function readTree(command: readonly string[]): Promise<Map<string, string>> {
  const child = Bun.spawn([...command], { stdin: 'ignore', stdout: 'pipe', stderr: 'pipe' })
  const problem = new Response(child.stderr).text()
  const tree = new Map<string, string>()
  let name = ''
  let hash = new Bun.CryptoHasher('sha256')
  const close = () => {
    if (name !== '') tree.set(name, `${tree.get(name)} ${hash.digest('hex').slice(0, 16)}`)
    hash = new Bun.CryptoHasher('sha256')
  }
  const reader = new TarReader({
    entry(entry) {
      close()
      name = entry.path
      tree.set(name, factsOf(entry))
    },
    data: (_, bytes) => void hash.update(bytes),
  })
  for await (const bytes of child.stdout) reader.push(bytes)
  if ((await child.exited) !== 0) throw new Error(`${command.join(' ')}: ${await problem}`)
  reader.end()
  close()
  return tree
}

/** Names that differ, with both lines; none for equal trees. */
export function differences(one: Map<string, string>, other: Map<string, string>): string[] {
  return [...new Set([...one.keys(), ...other.keys()])]
    .filter((name) => one.get(name) !== other.get(name))
    .map((name) => `${JSON.stringify(name)}: ${one.get(name) ?? 'missing'} | ${other.get(name) ?? 'missing'}`)
}

function factsOf({ type, mode, uid, gid, mtime, rdev, target, size, xattrs }: LayerEntry): string {
  const attributes = [...xattrs].map(([key, value]) => `${key}=${Buffer.from(value).toString('hex')}`).sort()
  return [
    ...[type, mode.toString(8), uid, gid, `${mtime.seconds}.${mtime.nanos}`, `${rdev.major}:${rdev.minor}`],
    ...[JSON.stringify(target), size, ...attributes],
  ].join(' ')
}
