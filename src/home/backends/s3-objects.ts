/**
 * Objects in a bucket of an S3-compatible store. Not by Bun's own client, which was tried: it knows no deadline and
 * cannot be given up, trusts no authorities of the operator's, completes an upload that is ended with an error (half a
 * blob would be there), and signs URLs wrongly for access keys with a colon, which OpenStack Swift has. So requests are
 * made here, over the same HTTP exchange as all others, and signed by aws4fetch.
 *
 * Longer content is sent in parts, and is there when the last request says so; what was begun and not ended is
 * abandoned, and a rule of the bucket should drop what a crash left (AbortIncompleteMultipartUpload).
 */
import { Failure } from '../../failure.ts'
import type { ObjectLists, Objects, ObjectWrites, OpenObject, Written } from './objects.ts'
import type { Question, WebClient } from './web-client.ts'

export interface S3Place {
  /** Where the bucket is: `https://bucket.s3.eu-central-1.amazonaws.com/` or `http://10.0.0.9:9000/bucket/`. */
  readonly base: URL
  /** In front of every path: empty, or with a slash at its end. */
  readonly prefix: string
}

/** 10,000 parts are the most there may be: 156 GiB. Longer content has longer parts. */
const usualPartBytes = 16 * 1024 * 1024
const mostParts = 10_000
/** Parts of one upload that are on their way: what is in memory for it. */
const partsAtOnce = 2

export class S3Objects implements Objects, ObjectLists, ObjectWrites {
  readonly name: string
  readonly lists = this
  readonly writes = this
  readonly #client: WebClient
  readonly #place: S3Place
  readonly #partBytes: number

  constructor(client: WebClient, place: S3Place, partBytes = usualPartBytes) {
    this.name = client.name
    this.#client = client
    this.#place = place
    this.#partBytes = partBytes
  }

  size(path: string, signal?: AbortSignal): Promise<number | undefined> {
    return this.#client.size(this.#urlOf(path), this.#about(path), signal)
  }

  open(path: string, start: number, signal?: AbortSignal, end?: number): Promise<OpenObject | undefined> {
    return this.#client.open(this.#urlOf(path), start, this.#about(path), signal, end)
  }

  /** Encoded as URLs are, keys have nothing that XML writes in another way. */
  async list(folder: string, after: string, limit: number, signal?: AbortSignal): Promise<string[]> {
    const names: string[] = []
    const inside = this.#place.prefix + folder
    let last = after === '' ? '' : inside + after
    while (names.length < limit) {
      const url = new URL(this.#place.base)
      url.search = String(
        new URLSearchParams({
          'list-type': '2',
          'encoding-type': 'url',
          delimiter: '/',
          prefix: inside,
          'max-keys': String(Math.min(1000, limit - names.length)),
          ...(last === '' ? {} : { 'start-after': last }),
        }),
      )
      const answer = await this.#text({ method: 'GET', url }, `${this.name}: the list of ${folder}`, signal)
      const keys = [...answer.matchAll(/<Key>([^<]*)<\/Key>/g)].map((match) => decodeURIComponent(match[1]!))
      for (const key of keys) if (key.startsWith(inside)) names.push(key.slice(inside.length))
      last = keys.at(-1) ?? last
      if (keys.length === 0 || !/<IsTruncated>true</.test(answer)) break
    }
    return names.slice(0, limit)
  }

  async put(path: string, content: Written, signal?: AbortSignal): Promise<void> {
    const partBytes = Math.max(this.#partBytes, Math.ceil(content.size / mostParts))
    const parts = partsOf(content, partBytes)
    if (content.size > partBytes) return this.#putInParts(path, parts, signal)
    const { value = new Uint8Array(0) } = await parts.next()
    await this.#done({ method: 'PUT', url: this.#urlOf(path), content: bytesOf(value) }, this.#about(path), signal)
  }

  async remove(path: string, signal?: AbortSignal): Promise<void> {
    await this.#done({ method: 'DELETE', url: this.#urlOf(path) }, this.#about(path), signal, [404])
  }

  async #putInParts(path: string, parts: AsyncIterable<Uint8Array>, signal: AbortSignal | undefined): Promise<void> {
    const about = this.#about(path)
    const upload = await this.#begin(path, signal)
    const url = (query: Record<string, string>) => this.#urlOf(path, { ...query, uploadId: upload })
    const tags: string[] = []
    const sending = new Set<Promise<void>>()
    let failure: { readonly error: unknown } | undefined
    const send = async (at: number, part: Uint8Array) => {
      const query = { partNumber: String(at + 1) }
      try {
        const headers = await this.#done({ method: 'PUT', url: url(query), content: bytesOf(part) }, about, signal)
        tags[at] = headers.get('etag') ?? ''
      } catch (error) {
        failure ??= { error }
      }
    }
    try {
      let number = 0
      for await (const part of parts) {
        const sent = send(number++, part).then(() => void sending.delete(sent))
        sending.add(sent)
        // No more is read than can be sent.
        if (sending.size >= partsAtOnce) await Promise.race(sending)
        if (failure) break
      }
      await Promise.all(sending)
      if (failure) throw failure.error
      const list = tags.map((tag, at) => `<Part><PartNumber>${at + 1}</PartNumber><ETag>${tag}</ETag></Part>`).join('')
      const content = bytesOf(Buffer.from(`<CompleteMultipartUpload>${list}</CompleteMultipartUpload>`))
      const answer = await this.#text({ method: 'POST', url: url({}), content }, about, signal)
      // Putting parts together takes longer than headers wait: what goes wrong then is told with a status of 200.
      if (/<Error>/.test(answer)) throw new Failure('unavailable', `${about}: its parts could not be put together`)
    } catch (error) {
      await Promise.allSettled(sending)
      await this.#done({ method: 'DELETE', url: url({}) }, about, undefined, [404]).catch(() => undefined)
      throw error
    }
  }

  async #begin(path: string, signal: AbortSignal | undefined): Promise<string> {
    const about = this.#about(path)
    const answer = await this.#text({ method: 'POST', url: this.#urlOf(path, { uploads: '' }) }, about, signal)
    const upload = /<UploadId>([^<&]{1,1024})<\/UploadId>/.exec(answer)?.[1]
    if (upload !== undefined) return upload
    throw new Failure('corrupt', `${about}: the store began an upload without saying which`)
  }

  async #text(question: Question, about: string, signal: AbortSignal | undefined): Promise<string> {
    const answer = await this.#client.ask(question, about, [], signal)
    return new TextDecoder().decode(await answer.bytes(mostAnswerBytes))
  }

  async #done(
    question: Question,
    about: string,
    signal: AbortSignal | undefined,
    also: readonly number[] = [],
  ): Promise<Headers> {
    const answer = await this.#client.ask(question, about, also, signal)
    await answer.discard()
    return answer.headers
  }

  #urlOf(path: string, query: Record<string, string> = {}): URL {
    const url = new URL(this.#place.base.href + encoded(this.#place.prefix + path))
    url.search = String(new URLSearchParams(query))
    return url
  }

  #about(path: string): string {
    return `${this.name}: ${path}`
  }
}

/** A page has a thousand keys of at most a thousand bytes, thrice as long when encoded. */
const mostAnswerBytes = 8 * 1024 * 1024

function encoded(path: string): string {
  return path.split('/').map(encodeURIComponent).join('/')
}

function bytesOf(bytes: Uint8Array) {
  return { size: bytes.length, bytes: () => bytes }
}

/**
 * Content in runs of `length` bytes, the last one shorter.
 * @throws {Failure} `corrupt` where it turns out to have another size than it was said to have, before its last part
 */
async function* partsOf(content: Written, length: number): AsyncGenerator<Uint8Array, void, undefined> {
  let at = 0
  let part = new Uint8Array(Math.min(length, content.size))
  let filled = 0
  for await (const chunk of content.read(0)) {
    for (let done = 0; done < chunk.length; ) {
      if (filled === part.length) {
        if (at + filled >= content.size) throw wrongSize(content)
        yield part
        at += filled
        part = new Uint8Array(Math.min(length, content.size - at))
        filled = 0
      }
      const some = chunk.subarray(done, done + part.length - filled)
      part.set(some, filled)
      filled += some.length
      done += some.length
    }
  }
  if (at + filled !== content.size) throw wrongSize(content)
  yield part
}

function wrongSize({ size }: Written): Failure {
  return new Failure('corrupt', `what was to be kept does not have the ${size} bytes it was said to have`)
}
