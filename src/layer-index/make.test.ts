import { describe, expect, setDefaultTimeout, test } from 'bun:test'
import { constants, gzipSync, zstdCompressSync } from 'node:zlib'
import { pack } from 'tar-stream'
import { Failure } from '../failure.ts'
import { digestOf } from '../oci/digest.ts'
import { resume } from '../zran/resume.ts'
import { standardSpacing } from '../zran/spacing.ts'
import { spanOf } from '../zran/span.ts'
import { decodeIndex } from './decode.ts'
import { encodeIndex, maker } from './encode.ts'
import { chunkBytes, chunkDigest, type LayerIndex } from './layer-index.ts'
import { makeIndex } from './make.ts'
import { unpackWhole } from './unpack-whole.ts'

setDefaultTimeout(60_000)

const large = Buffer.from(Array.from({ length: 900_000 }, (_, i) => (i * i) >>> (i % 13)))

async function tarOf(files: Readonly<Record<string, Buffer>>): Promise<Buffer> {
  const tar = pack()
  for (const [name, bytes] of Object.entries(files)) tar.entry({ name, mtime: new Date(0) }, bytes)
  tar.finalize()
  const parts: Buffer[] = []
  for await (const part of tar) parts.push(part as Buffer)
  return Buffer.concat(parts)
}

async function* inParts(bytes: Uint8Array, step = 60_000): AsyncGenerator<Uint8Array> {
  for (let i = 0; i < bytes.length; i += step) yield bytes.subarray(i, i + step)
}

const layer = await tarOf({ 'etc/motd': Buffer.from('hello'), 'usr/lib/large.so': large, 'var/empty': Buffer.alloc(0) })
const gz = gzipSync(layer)
const tarGzip = 'application/vnd.oci.image.layer.v1.tar+gzip'
const checked = { params: { [constants.ZSTD_c_checksumFlag]: 1 } }
const frames = Buffer.concat([
  zstdCompressSync(layer.subarray(0, 300_000), checked),
  zstdCompressSync(layer.subarray(300_000), checked),
])

/** Every chunk of the index, each unpacked from nothing but its own span, has the digest that the index says. */
function expectChunksOf(packed: Uint8Array, index: LayerIndex): void {
  const { chunks, points } = index
  for (let i = 0; i < chunks.count; i++) {
    const start = chunks.starts[i]!
    const end = start + chunks.lengths[i]!
    const span = spanOf(points, index, start, end)
    const parts: Buffer[] = []
    using resumed = resume(index, span, (_, bytes) => parts.push(Buffer.from(bytes)))
    resumed.push(packed.slice(span.from, span.to))
    const bytes = Buffer.concat(parts).subarray(start - span.at, end - span.at)
    expect(digestOf(bytes)).toBe(`sha256:${chunkDigest(chunks, i).toHex()}` as never)
  }
}

async function refusal(making: Promise<unknown>): Promise<Failure> {
  const error = await making.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(Failure)
  return error as Failure
}

describe('makeIndex', () => {
  test('says what the layer is and has a digest for each chunk of its files', async () => {
    for (const [packed, compression] of [
      [gz, 'gzip'],
      [layer, 'none'],
      [frames, 'zstd'],
    ] as const) {
      const index = await makeIndex(inParts(packed), tarGzip)
      expect(index).toMatchObject({
        layer: digestOf(packed),
        diffId: digestOf(layer),
        compression,
        compressedSize: packed.length,
        size: layer.length,
      })
      expect([...index.chunks.lengths]).toEqual([5, chunkBytes, chunkBytes, chunkBytes, large.length - 3 * chunkBytes])
      expectChunksOf(packed, index)
      expect(decodeIndex(encodeIndex(index))).toEqual(index)
    }
  })

  test('makes the same index however the layer arrives', async () => {
    const index = await makeIndex(inParts(gz), tarGzip)
    for (const step of [97, 10_000, gz.length]) expect(await makeIndex(inParts(gz, step), tarGzip)).toEqual(index)
  })

  // Seeds of two releases look at each other's indexes, and ban who signed a wrong one.
  test('gives the tree and the points that it gave before, or another number of its maker', async () => {
    const { metadata, diffId } = await makeIndex(inParts(layer), tarGzip)
    expect({ maker, diffId, metadata: digestOf(metadata), standardSpacing }).toMatchInlineSnapshot(`
      {
        "diffId": "sha256:7fc04e3857327e49c3a197f1a464d3e2ce488cdcfd49a319ab605603b0b4f8ec",
        "maker": 2,
        "metadata": "sha256:1fb8de686036efec29c39c38c152f48c1243467d7b6175fa36eb04aac5912c36",
        "standardSpacing": {
          "compressed": 262144,
          "unpacked": 1048576,
        },
      }
    `)
  })

  test('names the layer by the algorithm it is asked for', async () => {
    const index = await makeIndex(inParts(gz), tarGzip, { algorithm: 'sha512' })
    expect(index.layer).toBe(digestOf(gz, 'sha512'))
    expect(index.diffId).toBe(digestOf(layer))
  })

  test('says why a layer cannot be indexed', async () => {
    const long = zstdCompressSync(await tarOf({ long: Buffer.alloc(9 * 2 ** 20) }))
    expect(await refusal(makeIndex(inParts(long), tarGzip))).toMatchObject({
      code: 'unsupported',
      message: expect.stringContaining('zstd'),
    })
    expect((await refusal(makeIndex(inParts(gz), `${tarGzip}+encrypted`))).message).toContain('encrypted')
    expect((await refusal(makeIndex(inParts(gz), 'application/vnd.oci.image.config.v1+json'))).message).toContain(
      'no layer',
    )
    expect((await refusal(makeIndex(inParts(Buffer.from('neither of them'.repeat(99))), tarGzip))).code).not.toBe(
      'internal',
    )
  })

  test('stops at a layer that unpacks to more than it may, without unpacking the rest', async () => {
    const bomb = gzipSync(Buffer.alloc(64 * 2 ** 20))
    const made = makeIndex(inParts(Buffer.concat([gz, ...Array.from({ length: 200 }, () => bomb)])), tarGzip, {
      mostBytes: 5 * 2 ** 20,
    })
    expect((await refusal(made)).code).toBe('too-large')
  })
})

describe('unpackWhole', () => {
  test('gives the same tree, chunks and digests as the index, and the bytes', async () => {
    for (const packed of [
      gz,
      layer,
      frames,
      Buffer.concat([gzipSync(layer.subarray(0, 9)), gzipSync(layer.subarray(9))]),
    ]) {
      const parts: Buffer[] = []
      const { points, ...index } = await makeIndex(inParts(packed), tarGzip)
      const whole = await unpackWhole(inParts(packed), tarGzip, async (at, bytes) => {
        expect(at).toBe(parts.reduce((sum, part) => sum + part.length, 0))
        await Bun.sleep(0)
        parts.push(Buffer.from(bytes))
      })
      expect(whole).toEqual(index)
      expect(Buffer.concat(parts).equals(layer)).toBe(true)
    }
  })

  test('unpacks zstd in one frame, which has no index', async () => {
    const tar = await tarOf({ long: Buffer.alloc(9 * 2 ** 20, 'x') })
    const packed = zstdCompressSync(tar)
    let size = 0
    const whole = await unpackWhole(inParts(packed), tarGzip, (_, bytes) => {
      size += bytes.length
    })
    expect(whole).toMatchObject({
      layer: digestOf(packed),
      diffId: digestOf(tar),
      compression: 'zstd',
      size: tar.length,
    })
    expect(size).toBe(tar.length)
  })

  test('refuses bytes behind the last gzip member, as Go does, however they arrive', async () => {
    const small = gzipSync(await tarOf({ a: Buffer.from('hello') }))
    for (const behind of [Buffer.alloc(1), Buffer.alloc(512), Buffer.concat([Buffer.alloc(20), small])]) {
      const packed = Buffer.concat([small, behind])
      for (const step of [1, 7, small.length, packed.length]) {
        const failure = await refusal(unpackWhole(inParts(packed, step), tarGzip, () => {}))
        const { code, message } = failure
        expect({ code, message }).toEqual({
          code: 'corrupt',
          message: 'bytes that are no gzip follow the last gzip member',
        })
      }
    }
  })

  test('refuses what is damaged or ends too early, and passes on why nothing can be written', async () => {
    const nowhere = () => {}
    for (const packed of [gz, frames]) {
      expect((await refusal(unpackWhole(inParts(packed.subarray(0, -20)), tarGzip, nowhere))).code).toBe('corrupt')
      const damaged = Uint8Array.from(packed)
      damaged.fill(0xff, packed.length / 2, packed.length / 2 + 90)
      expect((await refusal(unpackWhole(inParts(damaged), tarGzip, nowhere))).code).toBe('corrupt')
    }
    const full = new Error('the disk is full')
    const failed = unpackWhole(inParts(gz), tarGzip, () => Promise.reject(full))
    await expect(failed).rejects.toBe(full)
    const cut = async function* () {
      yield gz.subarray(0, 1000)
      throw new Failure('unavailable', 'the source is gone')
    }
    expect((await refusal(unpackWhole(cut(), tarGzip, nowhere))).code).toBe('unavailable')
  })
})
