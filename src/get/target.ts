/** What is to be downloaded, and where it goes: from arguments to jobs. Pure, but for the look at what is there. */
import { basename, join } from 'node:path'
import { Failure } from '../failure.ts'
import { hexOf } from '../oci/digest.ts'
import { fileAt, urlOfFile } from '../oci/file.ts'
import { formatReference, formatRepository, parseReference, type Reference, type Repository } from '../oci/reference.ts'

export type Target =
  | { readonly kind: 'file'; readonly file: Repository }
  | { readonly kind: 'image'; readonly reference: Reference }

/** Standard output. */
export const stdout = '-'

/** What the kernel calls standard output is that, too: it may be a file, which then is not to be replaced. */
export function outputNamed(text: string): string {
  return ['/dev/stdout', '/dev/fd/1', '/proc/self/fd/1'].includes(text) ? stdout : text
}

export type Job =
  /** `path` may be {@link stdout}. */
  | { readonly kind: 'file'; readonly file: Repository; readonly path: string }
  | { readonly kind: 'layout'; readonly references: readonly Reference[]; readonly path: string }
  /** A layout as a tar archive; `path` may be {@link stdout}, or where a stream goes. */
  | { readonly kind: 'tar'; readonly references: readonly Reference[]; readonly path: string }

const packedTar = /\.(?:tgz|txz|tbz2?|tzst|tar\.[a-z0-9]+)$/i

/** What a path is, as far as it matters: whether things go into it or it becomes the thing; `stream`: a device, a FIFO. */
export type Place = 'absent' | 'file' | 'folder' | 'layout' | 'stream'

/** @throws {Failure} `bad-request`, `bad-name`, `bad-reference`, `bad-digest` */
export function parseTarget(text: string): Target {
  if (!/^[a-z][a-z0-9+.-]*:\/\//i.test(text)) return { kind: 'image', reference: parseReference(text) }
  return { kind: 'file', file: fileAt(text) }
}

/**
 * One job for each file, and one for all images that go into one layout. Without `output` everything gets its own name
 * in the current folder.
 * @throws {Failure} `bad-request` for things that cannot all go there
 */
export function jobsFor(
  targets: readonly Target[],
  output: string | undefined,
  placeOf: (path: string) => Place,
): Job[] {
  const several = targets.length > 1
  const stream = output !== undefined && takesStream(output, placeOf)
  if (stream && several) {
    throw new Failure('bad-request', `${output === stdout ? 'standard output' : output} takes one download at a time`)
  }
  if (output === undefined || (!stream && isFolder(output, placeOf))) {
    return apart(targets.map((target) => jobOf(target, join(output ?? '', nameOf(target)), placeOf)))
  }
  const images = targets.filter((target) => target.kind === 'image')
  if (several && images.length < targets.length) {
    throw new Failure('bad-request', `several downloads want a folder: make ${output}, or say ${output}/`)
  }
  if (images.length === 0) return targets.map((target) => jobOf(target, output, placeOf))
  const references = images.map(({ reference }) => reference)
  const name = output.replace(packedTar, '')
  if (name !== output && placeOf(output) !== 'layout') {
    throw new Failure(
      'bad-request',
      `${output}: archives are not packed again, for layers are packed already; say ${name}.tar, or ${name} for a folder`,
    )
  }
  const tar = stream || (output.endsWith('.tar') && placeOf(output) !== 'layout')
  return [tar ? { kind: 'tar', references, path: output } : layoutAt(output, references, placeOf)]
}

/** Several images can go into one layout; of several files the last would be left. @throws {Failure} `bad-request` */
function apart(jobs: Job[]): Job[] {
  const first = new Map<string, Job>()
  for (const job of jobs) {
    const other = first.get(job.path)
    if (!other) first.set(job.path, job)
    else if ((job.kind === 'file' || other.kind === 'file') && whatOf(job) !== whatOf(other)) {
      throw new Failure(
        'bad-request',
        `${whatOf(other)} and ${whatOf(job)} would both be ${job.path}; download them one by one, with --output`,
      )
    }
  }
  return jobs
}

const whatOf = (job: Job) =>
  job.kind === 'file' ? formatRepository(job.file) : job.references.map(formatReference).join()

function jobOf(target: Target, path: string, placeOf: (path: string) => Place): Job {
  if (target.kind === 'image') return layoutAt(path, [target.reference], placeOf)
  const place = path === stdout ? 'stream' : placeOf(path)
  if (place === 'folder' || place === 'layout') {
    throw new Failure('bad-request', `${path} is a folder; to have the file in it say --output ${path}/`)
  }
  return { ...target, path }
}

function layoutAt(path: string, references: readonly Reference[], placeOf: (path: string) => Place): Job {
  const place = placeOf(path)
  if (place === 'file' || place === 'stream') {
    throw new Failure('bad-request', `${path} is there and no folder; an image is a folder, or an archive named ….tar`)
  }
  return { kind: 'layout', references, path }
}

function takesStream(path: string, placeOf: (path: string) => Place): boolean {
  return path === stdout || placeOf(path) === 'stream'
}

function isFolder(path: string, placeOf: (path: string) => Place): boolean {
  return path.endsWith('/') || placeOf(path) === 'folder'
}

/** `debian-13` for an image; the last part of a URL's path. @throws {Failure} `bad-request` for a URL without one */
export function nameOf(target: Target): string {
  if (target.kind === 'image') {
    const { name, tag, digest } = target.reference
    return `${basename(name)}-${tag ?? (digest ? hexOf(digest).slice(0, 12) : 'latest')}`
  }
  const { href, pathname } = urlOfFile(target.file)!
  const last = decoded(pathname.split('/').at(-1) ?? '')
  if (last === '' || last === '.' || last === '..' || /[/\0]/.test(last)) {
    throw new Failure('bad-request', `${href} does not end in a name for a file; give one with --output`)
  }
  return last
}

/** For messages and what is printed. */
export function describe(target: Target): string {
  return target.kind === 'file' ? formatRepository(target.file) : formatReference(target.reference)
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
