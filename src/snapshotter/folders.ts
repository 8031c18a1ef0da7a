/**
 * The folders of snapshots: `snapshots/<number>/fs` has the files, `work` is overlayfs' own. Of a layer that the mounter
 * mounts, `fs` is a link to where, and `over` what is laid over it, if anything is: so paths stay short (mount(2) takes one page of options, and an image has up to 127
 * layers), and stay the same when the mounter mounts elsewhere.
 */
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
} from 'node:fs'
import { rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { sync } from '../aside.ts'
import { gidLabel, type Labels, type Usage, uidLabel } from './snapshot.ts'

const blockBytes = 512
/** For so long the process does nothing else, ms. */
const turnMs = 5

/** What a disk may refuse. */
export interface Disk {
  /** A folder with all that is in it, or nothing where there is nothing. */
  remove(path: string): Promise<void>
  /** Returns when the names that a folder has are on the disk. */
  sync(folder: string): void
}
export const realDisk: Disk = { remove: (path) => rm(path, { recursive: true, force: true }), sync }

/** A folder that belongs to no snapshot and cannot be removed: why, and what to do. */
export interface Stuck {
  readonly path: string
  readonly why: string
}

export class Folders {
  readonly #root: string
  readonly #disk: Disk

  constructor(root: string, disk: Disk = realDisk) {
    this.#root = join(root, 'snapshots')
    this.#disk = disk
    mkdirSync(this.#root, { recursive: true, mode: 0o700 })
  }

  files(id: number): string {
    return join(this.#root, String(id), 'fs')
  }

  work(id: number): string {
    return join(this.#root, String(id), 'work')
  }

  /** What overlayfs is given of a snapshot, the uppermost first. */
  shown(id: number): string[] {
    const over = overIn(join(this.#root, String(id)))
    return existsSync(over) ? [over, this.files(id)] : [this.files(id)]
  }

  /** Not yet in its place, which {@link put} gives it when its number is known. `owner`: of the root of its files. */
  make(kind: 'view' | 'active', owner: Owner | undefined): string {
    const made = mkdtempSync(join(this.#root, 'new-'))
    const files = join(made, 'fs')
    mkdirSync(files)
    // Whatever the umask of this process is.
    chmodSync(files, 0o755)
    if (owner) chownSync(files, owner.uid, owner.gid)
    if (kind === 'active') mkdirSync(join(made, 'work'), { mode: 0o711 })
    return made
  }

  makeLink(target: string): string {
    const made = mkdtempSync(join(this.#root, 'new-'))
    symlinkSync(target, join(made, 'fs'))
    return made
  }

  /** It is there after a power cut too, as soon as this returns: what the catalog has after one has its folder. */
  put(made: string, id: number): void {
    const place = join(this.#root, String(id))
    // A crash between the two leaves a folder of a number that is given out again.
    rmSync(place, { recursive: true, force: true })
    this.#disk.sync(made)
    renameSync(made, place)
    this.#disk.sync(this.#root)
  }

  /** Where the mounter has a layer now. A link that a disk lost is made again. */
  relink(id: number, target: string): void {
    const files = this.files(id)
    if (this.linkOf(id) === target) return
    mkdirSync(join(this.#root, String(id)), { recursive: true, mode: 0o700 })
    const aside = `${files}.new`
    rmSync(aside, { force: true })
    symlinkSync(target, aside)
    renameSync(aside, files)
  }

  /** Undefined where there is none. */
  linkOf(id: number): string | undefined {
    try {
      return readlinkSync(this.files(id))
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return undefined
      throw error
    }
  }

  /** Out of the way at once; {@link clean} gives the space back. */
  discard(id: number): void {
    this.#discard(String(id))
  }

  #discard(name: string): void {
    try {
      renameSync(join(this.#root, name), join(this.#root, `gone-${name}-${crypto.randomUUID()}`))
    } catch (error) {
      if (codeOf(error) !== 'ENOENT') throw error
    }
  }

  forget(made: string): void {
    rmSync(made, { recursive: true, force: true })
  }

  /**
   * Puts what belongs to no snapshot out of the way, which takes no time, and returns what cannot be. `known` is looked at
   * before anything else happens, so that it is not older than the folders. `starting`: also what was being made, for nobody
   * makes it any more.
   */
  setAside(known: ReadonlySet<number>, starting = false): Stuck[] {
    const stale = readdirSync(this.#root).filter((name) => {
      if (name.startsWith('new-')) return starting
      return /^\d+$/.test(name) && !known.has(Number(name))
    })
    return stale.flatMap((name) => {
      try {
        this.#discard(name)
        return []
      } catch (error) {
        return [stuckAt(join(this.#root, name), error)]
      }
    })
  }

  /** Removes what belongs to no snapshot, all of it that can be, and returns what cannot. As {@link setAside} has it. */
  async clean(known: ReadonlySet<number>): Promise<Stuck[]> {
    const stuck = this.setAside(known)
    for (const name of readdirSync(this.#root).filter((name) => name.startsWith('gone-'))) {
      const path = join(this.#root, name)
      await this.#disk.remove(path).catch((error: unknown) => stuck.push(stuckAt(path, error)))
    }
    return stuck
  }

  /**
   * What an overlay's upper directory takes: blocks of each file once, however many names it has. containerd waits for it
   * with its own database locked, and asking the kernel in this thread is ten times as fast as in others; calls that
   * come meanwhile get their turns.
   */
  async usage(id: number): Promise<Usage> {
    const seen = new Set<string>()
    const root = this.files(id)
    const folders = [root]
    let size = lstatSync(root).blocks * blockBytes
    let inodes = 1
    let turn = performance.now()
    for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
      for (const name of namesIn(folder)) {
        const path = join(folder, name)
        const found = lstatSync(path, { throwIfNoEntry: false })
        // A container that runs removes files.
        if (!found || (found.nlink > 1 && !found.isDirectory() && !isNew(seen, `${found.dev}:${found.ino}`))) continue
        size += found.blocks * blockBytes
        inodes++
        if (found.isDirectory()) folders.push(path)
        if (performance.now() - turn < turnMs) continue
        await new Promise<void>((resolve) => setImmediate(resolve))
        turn = performance.now()
      }
    }
    return { size, inodes }
  }

  /** Of the root of a snapshot's files, which the one above it gets too. */
  async ownerOf(id: number): Promise<Owner> {
    const { uid, gid } = await stat(this.files(id))
    return { uid, gid }
  }
}

/** In the folder of a layer that is mounted: folders that it does not describe, as they are in those below. */
export function overIn(folder: string): string {
  return join(folder, 'over')
}

export interface Owner {
  readonly uid: number
  readonly gid: number
}

/** Who root of a user namespace is outside of it; undefined without one, or when a mapping has no root. */
export function mappedRoot(labels: Labels): Owner | undefined {
  const uid = outside(labels[uidLabel])
  const gid = outside(labels[gidLabel])
  return uid === undefined || gid === undefined ? undefined : { uid, gid }
}

/** A container with the right to can make a file immutable, and mount something in its own files. */
function stuckAt(path: string, error: unknown): Stuck {
  const said = error instanceof Error ? error.message : String(error)
  const remedies: Record<string, string> = {
    EPERM: `a file in it is immutable: chattr -R -f -ai ${path}`,
    EBUSY: `something is mounted in it: findmnt -o TARGET | grep ${path} shows what to unmount`,
  }
  const remedy = remedies[codeOf(error) ?? ''] ?? `see what the kernel says of that disk (dmesg), then rm -r ${path}`
  return { path, why: `${said}; ${remedy}` }
}

function outside(mapping: string | undefined): number | undefined {
  for (const part of (mapping ?? '').split(',')) {
    const [inside, host, size] = part.split(':').map(Number)
    if (inside === 0 && host !== undefined && Number.isSafeInteger(host) && (size ?? 0) > 0) return host
  }
  return undefined
}

function isNew(seen: Set<string>, inode: string): boolean {
  if (seen.has(inode)) return false
  seen.add(inode)
  return true
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return []
    throw error
  }
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}
