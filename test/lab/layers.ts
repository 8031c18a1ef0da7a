/** How a layer is made: the same input makes the same bytes. Those that take long are kept in the user's cache. */
import { createCipheriv, createHash } from 'node:crypto'
import {
  createWriteStream,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGzip } from 'node:zlib'
import { type Digest, parseDigest } from '../../src/oci/digest.ts'

export interface Layer {
  /** The gzip file that holds it. */
  readonly file: string
  readonly digest: Digest
  /** Bytes as stored and sent. */
  readonly size: number
  /** Digest of the tar inside. */
  readonly diffId: Digest
  /** What it holds, for the image's history. */
  readonly comment: string
}

export const labCache = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'shoal', 'lab')

/** A layer with one file, `/synthetic/<seed>`, of `bytes` that do not compress. It is written into `folder`. */
export function syntheticLayer(folder: string, bytes: number, seed: number): Promise<Layer> {
  mkdirSync(folder, { recursive: true })
  const file = join(folder, `synthetic-${bytes}-${seed}.tar.gz`)
  return layerOf(file, `${bytes} synthetic bytes, seed ${seed}`, 0, async function* () {
    const stage = mkdtempSync(join(folder, 'stage-'))
    try {
      mkdirSync(join(stage, 'synthetic'))
      const target = createWriteStream(join(stage, 'synthetic', String(seed)))
      await pipeline(Readable.from(syntheticChunks(bytes, seed)), target)
      yield* tarOfFolder(stage)
    } finally {
      rmSync(stage, { recursive: true })
    }
  })
}

/** One layer of each size, with seeds from `seed` on. */
export async function syntheticLayers(folder: string, sizes: readonly number[], seed: number): Promise<Layer[]> {
  const layers: Layer[] = []
  for (const [i, size] of sizes.entries()) layers.push(await syntheticLayer(folder, size, seed + i))
  return layers
}

/** Sizes of an image's layers: one takes all; of several the last is eight times the first, and they grow evenly. */
export function layerSizes(bytes: number, count: number): number[] {
  const weights = Array.from({ length: count }, (_, i) => 1 + (count === 1 ? 0 : (7 * i) / (count - 1)))
  const sum = weights.reduce((a, b) => a + b, 0)
  return weights.map((weight) => Math.round((bytes * weight) / sum))
}

/** The same bytes for the same seed; they do not compress. */
export function syntheticBlob(bytes: number, seed: number): Uint8Array<ArrayBuffer> {
  return Buffer.concat([...syntheticChunks(bytes, seed)])
}

/** A cipher's key stream: as good as random to a compressor, and faster than a disk. */
function* syntheticChunks(bytes: number, seed: number): Generator<Buffer> {
  const key = createHash('sha256').update(`shoal ${seed}`).digest().subarray(0, 16)
  const cipher = createCipheriv('aes-128-ctr', key, Buffer.alloc(16))
  const zeros = Buffer.alloc(1024 * 1024)
  for (let left = bytes; left > 0; left -= zeros.length) yield cipher.update(zeros.subarray(0, left))
}

/** Makes a layer unless the cache has one of that key. */
export async function cachedLayer(
  key: string,
  comment: string,
  tarball: () => AsyncIterable<Uint8Array>,
): Promise<Layer> {
  const folder = join(labCache, 'layers')
  mkdirSync(folder, { recursive: true })
  const file = join(folder, `${key}.tar.gz`)
  const facts = join(folder, `${key}.json`)
  if (existsSync(facts) && existsSync(file)) return { ...(JSON.parse(readFileSync(facts, 'utf8')) as Layer), file }
  const part = `${file}.${process.pid}`
  const layer = { ...(await layerOf(part, comment, 4, tarball)), file }
  renameSync(part, file)
  writeFileSync(facts, JSON.stringify(layer))
  return layer
}

async function layerOf(
  file: string,
  comment: string,
  level: number,
  tarball: () => AsyncIterable<Uint8Array>,
): Promise<Layer> {
  const diff = createHash('sha256')
  const whole = createHash('sha256')
  let size = 0
  await pipeline(
    tarball,
    async function* (chunks: AsyncIterable<Uint8Array>) {
      for await (const chunk of chunks) {
        diff.update(chunk)
        yield chunk
      }
    },
    evenly,
    createGzip({ level }),
    async function* (chunks: AsyncIterable<Uint8Array>) {
      for await (const chunk of chunks) {
        whole.update(chunk)
        size += chunk.length
        yield chunk
      }
    },
    createWriteStream(file),
  )
  const named = (hash: typeof diff) => parseDigest(`sha256:${hash.digest('hex')}`)
  return { file, digest: named(whole), size, diffId: named(diff), comment }
}

/** In chunks of one length, whatever a pipe made of them: where gzip ends a block may depend on it, and so the digest. */
async function* evenly(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const length = 64 * 1024
  let rest: Uint8Array = new Uint8Array()
  for await (const chunk of chunks) {
    rest = Buffer.concat([rest, chunk])
    let start = 0
    for (; rest.length - start >= length; start += length) yield rest.subarray(start, start + length)
    rest = rest.subarray(start)
  }
  if (rest.length > 0) yield rest
}

export function tarOfFolder(folder: string): AsyncIterable<Uint8Array> {
  return tar(['--sort=name', `--directory=${folder}`, '.'], '')
}

/** Reproducible: no times, no owners. */
export function tar(args: readonly string[], stdin: string): AsyncIterable<Uint8Array> {
  const plain = ['--format=gnu', '--mtime=@0', '--owner=0', '--group=0', '--numeric-owner', '--absolute-names']
  return output(['tar', '--create', '--file=-', ...plain, ...args], stdin)
}

/** What a command writes. @throws when it exits nonzero */
export async function* output(command: readonly string[], stdin: string): AsyncIterable<Uint8Array> {
  const child = Bun.spawn([...command], { stdin: new TextEncoder().encode(stdin), stdout: 'pipe', stderr: 'pipe' })
  const said = new Response(child.stderr).text()
  yield* child.stdout
  if ((await child.exited) !== 0) throw new Error(`${command.slice(0, 2).join(' ')} failed: ${await said}`)
}
