/**
 * Brings a file, or an archive, to its end from wherever an earlier try broke off. What is there is read again and counts
 * only if it is what it should be: content by its digest, all else byte for byte.
 */
import { Failure } from '../failure.ts'
import { algorithmOf, type Digest, hexOf, shortDigest } from '../oci/digest.ts'
import type { Repository } from '../oci/reference.ts'

/** A run of bytes: known ones, or content to be fetched. */
export type Section =
  | { readonly bytes: Uint8Array }
  | { readonly repository: Repository; readonly digest: Digest; readonly size: number }

type Content = Exclude<Section, { bytes: Uint8Array }>

/** Where bytes go, one after the other. */
export interface Sink {
  /** What it has; at first what an earlier try left. */
  readonly length: number
  /** Bytes that it has. A chunk is valid until the next is asked for. */
  read(start: number, end: number): AsyncIterable<Uint8Array>
  /** Forgets what is behind. @throws {Failure} where that is not possible */
  cut(length: number): Promise<void>
  write(bytes: Uint8Array): Promise<void>
}

/** Bytes of a content from `start` to its end. @throws {Failure} */
export type Fetch = (content: Content, start: number) => AsyncIterable<Uint8Array>

export interface Told {
  /** So many bytes were there already; fewer than none where they turned out to be wrong. */
  kept(bytes: number): void
  came(bytes: number): void
}

/** @throws {Failure} `corrupt` for content that came with another digest; what `fetch` and the sink throw */
export async function fill(sink: Sink, sections: readonly Section[], fetch: Fetch, told: Told): Promise<void> {
  let start = 0
  for (const section of sections) {
    if ('bytes' in section) await fillKnown(sink, start, section.bytes)
    else await fillContent(sink, start, section, fetch, told)
    start += 'bytes' in section ? section.bytes.length : section.size
  }
  if (sink.length > start) await sink.cut(start)
}

async function fillKnown(sink: Sink, start: number, bytes: Uint8Array): Promise<void> {
  const there = Math.min(sink.length - start, bytes.length)
  if (there > 0) {
    let at = 0
    let same = true
    for await (const chunk of sink.read(start, start + there)) {
      same &&= Buffer.compare(chunk, bytes.subarray(at, at + chunk.length)) === 0
      at += chunk.length
    }
    if (same && there === bytes.length) return
    await sink.cut(start)
  }
  await sink.write(bytes)
}

async function fillContent(sink: Sink, start: number, content: Content, fetch: Fetch, told: Told): Promise<void> {
  const { digest, size } = content
  const there = Math.min(sink.length - start, size)
  try {
    if (await fillFrom(sink, start, there, content, fetch, told)) return
    if (there > 0) {
      // It may have been the old part that is wrong.
      told.kept(-there)
      await sink.cut(start)
      if (await fillFrom(sink, start, 0, content, fetch, told)) return
    }
    throw new Failure('corrupt', `what came for ${shortDigest(digest)} has another digest`)
  } catch (error) {
    // Nobody knows which of its bytes are wrong: the next try must not begin with them.
    if (Failure.from(error).code === 'corrupt') await sink.cut(start).catch(() => {})
    throw error
  }
}

async function fillFrom(
  sink: Sink,
  start: number,
  there: number,
  content: Content,
  fetch: Fetch,
  told: Told,
): Promise<boolean> {
  const { digest, size } = content
  const hasher = new Bun.CryptoHasher(algorithmOf(digest))
  for await (const chunk of sink.read(start, start + there)) hasher.update(chunk)
  told.kept(there)
  if (there < size) {
    for await (const chunk of fetch(content, there)) {
      hasher.update(chunk)
      await sink.write(chunk)
      told.came(chunk.length)
    }
  }
  return hasher.digest('hex') === hexOf(digest)
}
