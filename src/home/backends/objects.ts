/**
 * Named bytes, kept whole: what an object store, a directory and a web server have in common. What the names mean is
 * `layout.ts`'s.
 */
import { Failure } from '../../failure.ts'

export interface Objects {
  /** For logs and `status`, without credentials: `s3://images/shoal`. */
  readonly name: string
  /** Its length; undefined where there is none. @throws {Failure} `denied`, `unavailable`, `too-many`, `corrupt`, `cancelled` */
  size(path: string, signal?: AbortSignal): Promise<number | undefined>
  /**
   * From byte `start` on, which it has, up to `end` or further; undefined where there is none. @throws as {@link size}
   */
  open(path: string, start: number, signal?: AbortSignal, end?: number): Promise<OpenObject | undefined>
  /** Absent: its names cannot be told. */
  readonly lists?: ObjectLists
  /** Absent: it only gives. */
  readonly writes?: ObjectWrites
}

export interface OpenObject {
  /** Of all of it. */
  readonly size: number
  readonly body: AsyncIterable<Uint8Array>
}

export interface ObjectLists {
  /** What is directly in a folder, which ends with a slash: names after `after`, in the order of their code units. */
  list(folder: string, after: string, limit: number, signal?: AbortSignal): Promise<string[]>
}

/** What is written has a length, and gives its bytes from a place on; more than once, if need be. */
export interface Written {
  readonly size: number
  read(start: number): AsyncIterable<Uint8Array>
}

export interface ObjectWrites {
  /** Whole, on disk, in place of what was there; or not at all. */
  put(path: string, content: Written, signal?: AbortSignal): Promise<void>
  /** What is not there is no error. */
  remove(path: string, signal?: AbortSignal): Promise<void>
}

/** @throws {Failure} `corrupt` where it is longer than `cap`; as {@link Objects.open} */
export async function readObject(
  objects: Objects,
  path: string,
  cap: number,
  signal?: AbortSignal,
): Promise<Uint8Array | undefined> {
  const opened = await objects.open(path, 0, signal)
  return opened && collected(opened.body, cap, `${objects.name}: ${path}`)
}

export async function collected(body: AsyncIterable<Uint8Array>, cap: number, about: string): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  let length = 0
  for await (const chunk of body) {
    length += chunk.length
    if (length > cap) throw new Failure('corrupt', `${about} is longer than ${cap} bytes`)
    parts.push(chunk)
  }
  return Buffer.concat(parts)
}

export function writtenBytes(bytes: Uint8Array): Written {
  return {
    size: bytes.length,
    async *read(start) {
      yield bytes.subarray(start)
    },
  }
}
