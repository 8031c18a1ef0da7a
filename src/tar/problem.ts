/** What is said of a tar that cannot be read, or not as a layer. It may be a stranger's: names in it are shown quoted. */
import { Failure } from '../failure.ts'

/** @returns always: it throws. `at` is the place in the unpacked layer. */
export function refuse(at: number, problem: string): never {
  throw new Failure('unsupported', `the layer's tar cannot be used: ${problem}, at byte ${at}`)
}

/** A name for people: what a terminal could take for its own is escaped, what is long is cut. */
export function shown(name: string): string {
  return JSON.stringify(name.length > 200 ? `${name.slice(0, 200)}...` : name).replace(
    /[\x7f-\xff]/g,
    (char) => `\\x${char.charCodeAt(0).toString(16)}`,
  )
}
