/**
 * Files that are put in their places whole: made aside, in the same folder, and renamed. Whoever reads meanwhile sees the
 * old one or the new one.
 */
import { closeSync, fsyncSync, lstatSync, openSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import type { Random } from './clock.ts'

/** Longer than anybody takes from making a file to renaming it. */
const leftAfterMs = 3_600_000

const prefixOf = (path: string) => `.${basename(path)}.shoal-`

/** Not by the number of this process, which in a container is the same each time: one that was killed left its file. */
export function asideOf(path: string, random: Random = Math.random): string {
  return join(dirname(path), prefixOf(path) + Math.floor(random() * 2 ** 48).toString(16))
}

/** Removes what those left beside `path` who were killed; younger files may be of one that goes on. `now`: ms since 1970. */
export function removeLeftovers(path: string, now: number): void {
  const folder = dirname(path)
  const prefix = prefixOf(path)
  for (const name of namesIn(folder)) {
    if (!name.startsWith(prefix) || !/^[0-9a-f]+$/.test(name.slice(prefix.length))) continue
    const found = lstatSync(join(folder, name), { throwIfNoEntry: false })
    // When it was made, whatever time it was given to have been changed at.
    if (found?.isFile() && now - found.ctimeMs > leftAfterMs) rmSync(join(folder, name), { force: true })
  }
}

/** Puts `aside` in the place of `path`, so that a power cut leaves the old one or the new one, and not an empty one. */
export function intoPlace(aside: string, path: string, calls = { sync, rename: renameSync }): void {
  calls.sync(aside)
  calls.rename(aside, path)
  calls.sync(dirname(path))
}

/** A file's bytes, or a folder's names, to the disk. */
export function sync(path: string): void {
  const handle = openSync(path, 'r')
  try {
    fsyncSync(handle)
  } finally {
    closeSync(handle)
  }
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    // What is in the way there is told of by whoever writes.
    return []
  }
}
