/** Carries out one job: what is to be had goes to where it should be, and what was there already stays. */
import { readFile, stat } from 'node:fs/promises'
import pLimit from 'p-limit'
import { z } from 'zod'
import { Failure } from '../failure.ts'
import { parseJson } from '../json.ts'
import { algorithmOf, type Digest, hexOf } from '../oci/digest.ts'
import { formatReference, formatRepository, type Reference, type Repository } from '../oci/reference.ts'
import { digestSchema } from '../oci/schemas.ts'
import { type Fetch, fill, type Section, type Told } from './fill.ts'
import { type Entry, type Image, imageOf, indexWith, layoutFile, type Part, pathOf } from './image.ts'
import { fileIn, ownFolder } from './layout.ts'
import type { Mirror } from './mirror.ts'
import type { Platform } from './platform.ts'
import { FileSink, type Output, outputAt, StreamSink } from './sink.ts'
import { sectionsOf } from './tar.ts'
import { type Job, stdout } from './target.ts'

export interface SaveOptions {
  readonly mirror: Pick<Mirror, 'manifest' | 'blob' | 'file'>
  readonly platform: Platform
  /** What the content must have. */
  readonly digest?: Digest
  /** Writes to standard output. */
  readonly write: (bytes: Uint8Array) => Promise<void>
  readonly told: Told & { total(bytes: number): void; waiting(why: string): void }
}

export interface Saved {
  readonly path: string
  /** By what was asked for. */
  readonly digests: Readonly<Record<string, Digest>>
  /** Of the content, whether it was there already or not. */
  readonly bytes: number
}

/** Layers of one image that come at the same time. */
const atOnce = 3

const entrySchema = z.object({
  mediaType: z.string(),
  digest: digestSchema,
  size: z.number(),
  platform: z.record(z.string(), z.string()).optional(),
  annotations: z.record(z.string(), z.string()).default({}),
})
const indexSchema = z.object({ manifests: z.array(entrySchema) })

/** @throws {Failure} what the node says; what the disk says */
export async function save(job: Job, options: SaveOptions): Promise<Saved> {
  if (job.kind === 'file') return saveFileAt(job.file, job.path, options)
  const images = await Promise.all(job.references.map((reference) => findImage(reference, options)))
  const parts = [...new Map(images.flatMap((image) => image.parts).map((part) => [part.digest, part])).values()]
  const fetched = parts.filter((part) => !part.bytes)
  const bytes = parts.reduce((sum, part) => sum + part.size, 0)
  options.told.total(fetched.reduce((sum, part) => sum + part.size, 0))
  if (job.kind === 'layout') await saveLayout(job.path, images, parts, options)
  else await saveTar(job.path, images, parts, options)
  const named = job.references.map((reference, i) => [formatReference(reference), images[i]!.entry.digest] as const)
  return { path: job.path, digests: Object.fromEntries(named), bytes }
}

async function saveFileAt(file: Repository, path: string, options: SaveOptions): Promise<Saved> {
  const { mirror, told } = options
  const { digest, size } = await mirror.file(file, options.digest, (why) => told.waiting(why))
  told.total(size)
  const content = { repository: file, digest, size }
  if (path !== stdout && (await hasContent(path, content))) told.kept(size)
  else await saveFile(path, [content], options)
  return { path, digests: { [formatRepository(file)]: digest }, bytes: size }
}

async function findImage(reference: Reference, { mirror, platform, digest }: SaveOptions): Promise<Image> {
  if (digest && reference.digest && reference.digest !== digest) {
    throw new Failure('corrupt', `${formatReference(reference)} cannot have the digest ${digest} too`)
  }
  const image = await imageOf(reference, platform, async (repository, name) => {
    const manifest = await mirror.manifest(repository, name)
    const first = name === (reference.digest ?? reference.tag)
    if (digest && first && manifest.digest !== digest) {
      throw new Failure('corrupt', `${formatReference(reference)} is ${manifest.digest}, not ${digest}`)
    }
    return manifest
  })
  return image
}

async function saveLayout(dir: string, images: readonly Image[], parts: readonly Part[], options: SaveOptions) {
  await ownFolder(dir)
  // Tells the next try that this folder is a layout.
  await savePart(dir, 'oci-layout', { bytes: Buffer.from(layoutFile) }, options)
  const limit = pLimit(atOnce)
  const saving = parts.map((part) => limit(() => saveBlob(dir, part, options)))
  try {
    await Promise.all(saving)
  } catch (error) {
    limit.clearQueue()
    await Promise.allSettled(saving)
    throw error
  }
  const index = indexWith(
    await entriesOf(await fileIn(dir, 'index.json')),
    images.map(({ entry }) => entry),
  )
  await savePart(dir, 'index.json', { bytes: Buffer.from(index) }, options)
}

async function saveBlob(dir: string, part: Part, options: SaveOptions): Promise<void> {
  const name = pathOf(part.digest)
  if (!(await hasContent(await fileIn(dir, name), part))) await savePart(dir, name, sectionOf(part), options)
  else if (!part.bytes) options.told.kept(part.size)
}

async function savePart(dir: string, name: string, section: Section, options: SaveOptions): Promise<void> {
  await saveTo(await FileSink.open(await fileIn(dir, name)), [section], options)
}

async function saveFile(path: string, sections: readonly Section[], options: SaveOptions): Promise<void> {
  await saveTo(path === stdout ? new StreamSink(options.write) : await outputAt(path), sections, options)
}

async function saveTo(sink: Output, sections: readonly Section[], options: SaveOptions): Promise<void> {
  try {
    await fill(sink, sections, fetchBy(options), options.told)
    await sink.finish()
  } finally {
    await sink.close()
  }
}

async function saveTar(path: string, images: readonly Image[], parts: readonly Part[], options: SaveOptions) {
  const index = Buffer.from(
    indexWith(
      [],
      images.map(({ entry }) => entry),
    ),
  )
  const sections = await sectionsOf([
    { path: 'oci-layout', content: { bytes: Buffer.from(layoutFile) } },
    { path: 'index.json', content: { bytes: index } },
    ...parts.map((part) => ({ path: pathOf(part.digest), content: sectionOf(part) })),
  ])
  await saveFile(path, sections, options)
}

function sectionOf({ bytes, repository, digest, size }: Part): Section {
  return bytes ? { bytes } : { repository, digest, size }
}

function fetchBy({ mirror }: SaveOptions): Fetch {
  return ({ repository, digest, size }, start) => mirror.blob(repository, digest, size, start)
}

async function hasContent(path: string, { digest, size }: Pick<Part, 'digest' | 'size'>): Promise<boolean> {
  const there = await stat(path).catch(() => undefined)
  if (!there?.isFile() || there.size !== size) return false
  const hasher = new Bun.CryptoHasher(algorithmOf(digest))
  for await (const chunk of Bun.file(path).stream()) hasher.update(chunk)
  return hasher.digest('hex') === hexOf(digest)
}

/** @throws {Failure} `corrupt` for an index that is none: it is not to be lost */
async function entriesOf(path: string): Promise<Entry[]> {
  const text = await readFile(path, 'utf8').catch(() => undefined)
  if (text === undefined) return []
  try {
    return indexSchema.parse(parseJson(text)).manifests.map(({ platform, ...entry }) => ({
      ...entry,
      ...(platform ? { platform } : {}),
    }))
  } catch {
    throw new Failure('corrupt', `${path} is there and is no index of a layout; take another folder`)
  }
}
