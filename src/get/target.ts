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

export type Job =
  /** `path` may be {@link stdout}. */
  | { readonly kind: 'file'; readonly file: Repository; readonly path: string }
  | { readonly kind: 'layout'; readonly references: readonly Reference[]; readonly path: string }
  /** A layout as a tar archive; `path` may be {@link stdout}. */
  | { readonly kind: 'tar'; readonly references: readonly Reference[]; readonly path: string }

/** What a path is, as far as it matters: whether things go into it or it becomes the thing. */
export type Place = 'absent' | 'file' | 'folder' | 'layout'

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
  if (output === stdout && several) {
    throw new Failure('bad-request', 'standard output takes one download at a time')
  }
  if (output === undefined || (output !== stdout && isFolder(output, placeOf))) {
    return targets.map((target) => jobOf(target, join(output ?? '', nameOf(target))))
  }
  const images = targets.filter((target) => target.kind === 'image')
  if (several && images.length < targets.length) {
    throw new Failure('bad-request', `several downloads want a folder: make ${output}, or say ${output}/`)
  }
  if (images.length === 0) return targets.map((target) => jobOf(target, output))
  const references = images.map(({ reference }) => reference)
  return [{ kind: output === stdout || output.endsWith('.tar') ? 'tar' : 'layout', references, path: output }]
}

function jobOf(target: Target, path: string): Job {
  if (target.kind === 'file') return { ...target, path }
  return { kind: 'layout', references: [target.reference], path }
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
