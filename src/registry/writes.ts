/**
 * The part of the OCI distribution API that writes: uploads, manifests, deletes. What a client hears is what the
 * specification words; what becomes of it is up to {@link Pusher}.
 */

import type { Clock } from '../clock.ts'
import { Failure } from '../failure.ts'
import { isDigest } from '../oci/digest.ts'
import { maxManifestBytes } from '../oci/media.ts'
import { formatRepository, type Repository } from '../oci/reference.ts'
import type { Pusher } from '../push/pusher.ts'
import { type Writer, writerName } from '../push/pushers.ts'
import { timely, type Upload } from '../push/upload.ts'
import type { Users } from '../push/users.ts'
import type { WriteRequest } from './write-request.ts'

export interface Pushing {
  readonly pusher: Pusher
  /** Absent: clients on this host push. */
  readonly users?: Users | undefined
  readonly deletes: boolean
  /** The cluster keeps it, here among others. */
  readonly keeps: (repository: Repository) => boolean
}

/** What comes with a request to write. */
export interface Written extends Writer {
  /** As it came. */
  readonly target: string
  readonly body: AsyncIterable<Uint8Array>
  header(name: string): string | undefined
}

/** @throws {Failure} for the client */
export async function answerWrite(
  written: Written,
  request: WriteRequest,
  pushing: Pushing,
  clock: Clock,
): Promise<Response> {
  try {
    const { repository } = request
    if (request.kind.startsWith('delete') && !pushing.deletes) {
      throw new Failure('read-only', 'nothing is deleted here; an operator allows it with --push-deletes')
    }
    if (!pushing.keeps(repository)) {
      const name = formatRepository(repository)
      throw new Failure('forbidden', `${name} is not the cluster's own: no --home of this node matches it`)
    }
    const by = await writerName(written, pushing.users)
    return await write(written, request, by, pushing, clock)
  } catch (error) {
    throw toldToWriter(Failure.from(error))
  }
}

function write(
  written: Written,
  request: WriteRequest,
  by: string,
  { pusher }: Pushing,
  clock: Clock,
): Promise<Response> {
  switch (request.kind) {
    case 'begin':
      return begin(written, request, by, pusher)
    case 'append':
      return append(written, pusher.uploads.find(request.repository, request.id, by), pusher)
    case 'finish':
      return finish(written, request, by, pusher)
    case 'status':
      return status(written, pusher.uploads.find(request.repository, request.id, by))
    case 'cancel':
      return cancel(request, by, pusher)
    case 'put-manifest':
      return putManifest(written, request, by, pusher, clock)
    case 'delete-manifest':
      return deleted(
        isDigest(request.reference)
          ? pusher.deleteManifest(request.repository, request.reference, by)
          : pusher.deleteTag(request.repository, request.reference, by),
      )
    case 'delete-blob':
      return deleted(pusher.deleteBlob(request.repository, request.digest, by))
  }
}

type Of<K extends WriteRequest['kind']> = Extract<WriteRequest, { kind: K }>

async function begin(written: Written, request: Of<'begin'>, by: string, pusher: Pusher): Promise<Response> {
  const { repository, digest, mount } = request
  if (mount && (await pusher.mount(repository, mount.digest, mount.from))) {
    return answer(201, { location: place(written, `blobs/${mount.digest}`), 'docker-content-digest': mount.digest })
  }
  const upload = pusher.uploads.begin(repository, by)
  if (digest === undefined) return answer(202, uploadHeaders(written, upload))
  try {
    await upload.append(written.body)
    await pusher.finish(upload, digest)
  } finally {
    await pusher.uploads.end(upload)
  }
  return answer(201, { location: place(written, `blobs/${digest}`), 'docker-content-digest': digest })
}

async function append(written: Written, upload: Upload, pusher: Pusher): Promise<Response> {
  await take(written, upload, pusher)
  return answer(202, uploadHeaders(written, upload))
}

async function finish(written: Written, request: Of<'finish'>, by: string, pusher: Pusher): Promise<Response> {
  const { repository, id, digest } = request
  const upload = pusher.uploads.find(repository, id, by)
  await take(written, upload, pusher)
  await pusher.finish(upload, digest)
  return answer(201, { location: place(written, `blobs/${digest}`), 'docker-content-digest': digest })
}

async function status(written: Written, upload: Upload): Promise<Response> {
  return answer(204, uploadHeaders(written, upload))
}

async function cancel({ repository, id }: Of<'cancel'>, by: string, pusher: Pusher): Promise<Response> {
  await pusher.uploads.end(pusher.uploads.find(repository, id, by))
  return answer(204, {})
}

async function putManifest(
  written: Written,
  { repository, reference, tags }: Of<'put-manifest'>,
  by: string,
  pusher: Pusher,
  clock: Clock,
): Promise<Response> {
  const bytes = await readManifest(written, clock)
  const pushed = { bytes, mediaType: written.header('content-type'), tags, by }
  const { digest, subject } = await pusher.putManifest(repository, reference, pushed)
  return answer(201, {
    location: place(written, `manifests/${digest}`),
    'docker-content-digest': digest,
    ...(tags.length === 0 ? {} : { 'oci-tag': tags.join(', ') }),
    ...(subject === undefined ? {} : { 'oci-subject': subject }),
  })
}

async function deleted(work: Promise<void>): Promise<Response> {
  await work
  return answer(202, {})
}

/** A chunk goes where it says that it belongs, or nowhere. @throws {Failure} `bad-range`, `bad-upload` */
async function take(written: Written, upload: Upload, pusher: Pusher): Promise<void> {
  const range = written.header('content-range')
  if (range !== undefined) {
    const [, first, last] = /^(?:bytes[ =])?(\d{1,15})-(\d{1,15})(?:\/(?:\d+|\*))?$/.exec(range) ?? []
    const length = written.header('content-length')
    if (first === undefined || last === undefined || (length && Number(length) !== Number(last) - Number(first) + 1)) {
      throw new Failure('bad-upload', `"${range.slice(0, 80)}" is not the range of what was sent`)
    }
    if (Number(first) !== upload.length) {
      const { location, range: taken } = uploadHeaders(written, upload)
      throw new Failure('bad-range', `the next byte of the upload is ${upload.length}, not ${first}`, {
        detail: { location, range: taken },
      })
    }
  }
  try {
    await upload.append(written.body)
  } catch (error) {
    // Nobody goes on with it, and others need the room.
    if (neverFits(Failure.from(error))) await pusher.uploads.end(upload)
    throw error
  }
}

/** @throws {Failure} `too-large`, `bad-upload` */
async function readManifest(written: Written, clock: Clock): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let length = 0
  if (Number(written.header('content-length') ?? 0) > maxManifestBytes) throw tooLarge()
  try {
    for await (const chunk of timely(written.body, clock)) {
      length += chunk.length
      if (length > maxManifestBytes) throw tooLarge()
      chunks.push(new Uint8Array(chunk))
    }
  } catch (error) {
    if (error instanceof Failure && error.code === 'too-large') throw error
    throw new Failure('bad-manifest', 'the manifest broke off', { cause: error })
  }
  return new Uint8Array(Buffer.concat(chunks))
}

const tooLarge = () => new Failure('too-large', `a manifest may have ${maxManifestBytes} bytes`)

function uploadHeaders(written: Written, upload: Upload) {
  return {
    location: place(written, `blobs/uploads/${upload.id}`),
    // What there is of it, the last byte included; of nothing there is no right form, and this is everybody's.
    range: `0-${Math.max(0, upload.length - 1)}`,
    'docker-upload-uuid': upload.id,
  }
}

/** Where something of the repository is, named as the client named it. */
function place({ target }: Pick<Written, 'target'>, what: string): string {
  const [path = '', query] = target.split('?', 2)
  const ns = new URLSearchParams(query).get('ns')
  const repository = path.replace(/\/(?:blobs|manifests)\/(?:uploads(?:\/[^/]*)?|[^/]+)$/, '')
  return `${repository}/${what}${ns === null ? '' : `?${new URLSearchParams({ ns })}`}`
}

function answer(status: number, headers: Record<string, string>): Response {
  return new Response(null, {
    status,
    headers: {
      ...headers,
      'docker-distribution-api-version': 'registry/2.0',
      ...(status === 204 ? {} : { 'content-length': '0' }),
    },
  })
}

/** It would not fit into an empty store either. */
function neverFits({ code, detail }: Failure): boolean {
  return code === 'no-space' && detail.mostBytes !== undefined
}

/** Engines that pull go elsewhere after a 404; who pushes has nowhere else to go, and is told what is the matter. */
function toldToWriter(failure: Failure): Failure {
  const { code, message, detail } = failure
  // Who comes again sends all of it for nothing.
  if (neverFits(failure)) return new Failure('too-large', message, { cause: failure, detail })
  if (['unavailable', 'no-space', 'no-disk', 'cancelled'].includes(code)) {
    return new Failure('try-later', message, { cause: failure, detail })
  }
  return failure
}
