/** Files that may be in several places, or not yet in any. */
import { stat } from 'node:fs/promises'

/** A file, or several, of which the first counts that is there at the time. */
export type Places = string | readonly string[]

export interface FileThere {
  readonly path: string
  /** Another one when the file, or what it is, has changed. */
  readonly version: string
}

export function placesOf(places: Places): readonly string[] {
  return typeof places === 'string' ? [places] : places
}

/** Undefined while there is none. What cannot be looked at counts as not there. */
export async function firstThere(places: Places): Promise<FileThere | undefined> {
  for (const path of placesOf(places)) {
    const seen = await stat(path).catch(() => undefined)
    if (seen) return { path, version: `${path} ${seen.ino} ${seen.size} ${seen.mtimeMs}` }
  }
  return undefined
}
