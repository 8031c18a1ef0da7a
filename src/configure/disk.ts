/**
 * The host's files, read and written whole. All edits are staged beside their places first and then renamed into them:
 * what cannot be written is found out before anything changed, and whoever reads meanwhile sees the old or the new file.
 */
import {
  closeSync,
  existsSync,
  fchmodSync,
  fchownSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  utimesSync,
  writeSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { asideOf, removeLeftovers, sync } from '../aside.ts'
import { type Edit, type Files, Refusal } from './plan.ts'
import { decode } from './text.ts'

/** How a file is to be, beside its text. */
export interface Manner {
  readonly mode: number
  readonly modified?: number
}

interface Staged {
  readonly edit: Edit
  readonly target: string
  /** Undefined: the file goes. */
  readonly temporary: string | undefined
  /** How the file is that is there till then. */
  readonly was: Manner | undefined
}

export class Disk implements Files {
  readonly #root: string
  readonly #now: () => number

  /** All paths are below `root`: `/` for the running system. `now`: ms since 1970. */
  constructor(root: string, now = Date.now) {
    this.#root = root
    this.#now = now
  }

  read(path: string): string | undefined {
    const at = this.at(path)
    try {
      return decode(readFileSync(at), path)
    } catch (error) {
      const code = codeOf(error)
      if (code === 'ENOENT' && !dangling(at)) return undefined
      throw refusalOf(error, path, 'read')
    }
  }

  list(path: string): string[] {
    try {
      return readdirSync(this.at(path)).sort()
    } catch (error) {
      // A file has nothing in it either.
      if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return []
      throw refusalOf(error, path, 'read')
    }
  }

  manner(path: string): Manner | undefined {
    const found = statSync(this.at(path), { throwIfNoEntry: false })
    return found && { mode: found.mode & 0o7777, modified: found.mtimeMs / 1000 }
  }

  /** Folders that have to be made for a file at `path`, outermost first. */
  missingFolders(path: string): string[] {
    const missing: string[] = []
    for (let folder = dirname(path); !existsSync(this.at(folder)); folder = dirname(folder)) missing.unshift(folder)
    return missing
  }

  /** Removes folders that are empty, innermost first; what somebody else put something into stays. */
  removeFolders(paths: readonly string[]): void {
    for (const path of [...paths].sort((a, b) => b.length - a.length)) {
      try {
        rmdirSync(this.at(path))
      } catch (error) {
        if (codeOf(error) !== 'ENOENT' && codeOf(error) !== 'ENOTEMPTY') throw refusalOf(error, path, 'remove')
      }
    }
  }

  /**
   * All of it or nothing. `mannerOf` says how files shall be that are to be as they once were; others keep their owner
   * and mode, and new ones may be read by all.
   * @throws {Refusal}
   */
  write(edits: readonly Edit[], mannerOf: (path: string) => Manner | undefined = () => undefined): void {
    const staged: Staged[] = []
    const done: Staged[] = []
    const made = [
      ...new Set(edits.flatMap(({ path, after }) => (after === undefined ? [] : this.missingFolders(path)))),
    ]
    let current = ''
    try {
      for (const edit of edits) {
        current = edit.path
        staged.push(this.#stage(edit, mannerOf(edit.path)))
      }
      for (const entry of staged) {
        current = entry.edit.path
        if (this.read(current) !== entry.edit.before) {
          throw new Refusal(`${current} was changed by somebody else just now; nothing was changed, run this again`)
        }
        if (entry.temporary === undefined) rmSync(entry.target)
        else renameSync(entry.temporary, entry.target)
        done.push(entry)
        sync(dirname(entry.target))
      }
    } catch (error) {
      for (const { temporary } of staged) if (temporary) rmSync(temporary, { force: true })
      if (done.length > 0) {
        const back = done.map(({ edit }) => ({ path: edit.path, before: edit.after, after: edit.before }))
        this.write(back, (path) => done.find(({ edit }) => edit.path === path)?.was)
      }
      this.removeFolders(made)
      throw refusalOf(error, current, 'write')
    }
  }

  #stage(edit: Edit, manner: Manner | undefined): Staged {
    const at = this.at(edit.path)
    // A link stays one: what it points to is what is replaced.
    const target = edit.after !== undefined && existsSync(at) ? realpathSync(at) : at
    removeLeftovers(target, this.#now())
    const was = this.manner(edit.path)
    if (edit.after === undefined) return { edit, target, temporary: undefined, was }
    const old = statSync(target, { throwIfNoEntry: false })
    mkdirSync(dirname(target), { recursive: true, mode: 0o755 })
    const temporary = asideOf(target)
    const file = openSync(temporary, 'wx', 0o600)
    try {
      const bytes = new TextEncoder().encode(edit.after)
      for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at)
      if (old) fchownSync(file, old.uid, old.gid)
      fchmodSync(file, manner?.mode ?? (old ? old.mode & 0o7777 : 0o644))
      if (manner?.modified !== undefined) utimesSync(temporary, manner.modified, manner.modified)
      fsyncSync(file)
    } catch (error) {
      rmSync(temporary, { force: true })
      throw error
    } finally {
      closeSync(file)
    }
    return { edit, target, temporary, was }
  }

  /** The path as this process has it. */
  at(path: string): string {
    return join(this.#root, path)
  }
}

/** A link to nothing is not the same as no file: what would be written there is not known. */
function dangling(at: string): boolean {
  try {
    return readdirSync(dirname(at)).includes(basename(at))
  } catch {
    return false
  }
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}

const reasons: Record<string, string> = {
  EACCES: 'this user may not; run it as root',
  EPERM: 'it may not be changed; run it as root, and see lsattr for an immutable flag',
  EROFS: 'it is on a read-only file system; make that writable, or configure the engine where its files come from',
  EISDIR: 'it is a folder; remove it, or name the file with --file',
  ENOTDIR: 'a part of the path is a file and no folder; move that away',
  ENOENT: 'it is a link to a file that is not there; make that file, or remove the link',
  ELOOP: 'it is a link that leads to itself; remove it',
  ENOSPC: 'there is no space left on its disk; free some',
  EBUSY: 'it is mounted from elsewhere; change it there',
}

function refusalOf(error: unknown, path: string, verb: string): Refusal {
  if (error instanceof Refusal) return error
  const why = reasons[codeOf(error) ?? ''] ?? (error instanceof Error ? error.message : String(error))
  return new Refusal(`cannot ${verb} ${path}: ${why}; nothing was changed`)
}
