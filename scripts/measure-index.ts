/**
 * Measures the index of a gzip layer: how fast it is made, how long it is, and what a read of one chunk costs for points
 * that lie so far apart. Each chunk that is read has to have its digest, so this is also a test, on a layer of any size.
 */
import { closeSync, openSync, readSync, statSync } from 'node:fs'
import { parseArgs } from 'node:util'
import Table from 'cli-table3'
import { encodeIndex } from '../src/layer-index/encode.ts'
import { chunkDigest, type LayerIndex } from '../src/layer-index/layer-index.ts'
import { makeIndex } from '../src/layer-index/make.ts'
import { digestOf } from '../src/oci/digest.ts'
import { GzipScan } from '../src/zran/gzip-scan.ts'
import type { Points } from '../src/zran/points.ts'
import { resume } from '../src/zran/resume.ts'
import { standardSpacing } from '../src/zran/spacing.ts'
import { spanOf } from '../src/zran/span.ts'
import { failing, within } from './lib/options.ts'

const help = `usage: scripts/measure-index [--reads N] LAYER

  LAYER        a gzip layer, as a file
  --reads N    chunks that are read for each spacing of points (default 500)`

const kib = 1024
const apart = [64, 128, 256, 512, 1024].map((length) => length * kib)
const link = 100e6 / 8

function* partsOf(path: string): Generator<Uint8Array> {
  const file = openSync(path, 'r')
  const buffer = new Uint8Array(256 * kib)
  try {
    for (let read = readSync(file, buffer); read > 0; read = readSync(file, buffer)) yield buffer.subarray(0, read)
  } finally {
    closeSync(file)
  }
}

async function* streamOf(path: string): AsyncGenerator<Uint8Array> {
  yield* partsOf(path)
}

function pointsOf(path: string, compressed: number): Points {
  using scan = new GzipScan(() => {}, { compressed, unpacked: standardSpacing.unpacked })
  for (const part of partsOf(path)) scan.push(part)
  return scan.end()
}

/** Compressed bytes and milliseconds for one chunk, on average; the same chunks each time. */
function read(path: string, index: LayerIndex, points: Points, reads: number): { bytes: number; ms: number } {
  const file = openSync(path, 'r')
  let [bytes, ms] = [0, 0]
  for (let i = 0; i < reads; i++) {
    const chunk = Math.floor((index.chunks.count * (i + 0.5)) / reads)
    const start = index.chunks.starts[chunk]!
    const end = start + index.chunks.lengths[chunk]!
    const span = spanOf(points, index, start, end)
    const compressed = new Uint8Array(span.to - span.from)
    readSync(file, compressed, 0, compressed.length, span.from)
    bytes += compressed.length
    const out = new Uint8Array(span.until - span.at)
    const begun = performance.now()
    using resumed = resume({ compression: 'gzip', points }, span, (at, part) => out.set(part, at - span.at))
    resumed.push(compressed)
    ms += performance.now() - begun
    const digest = digestOf(out.subarray(start - span.at, end - span.at))
    if (digest !== `sha256:${chunkDigest(index.chunks, chunk).toHex()}`)
      throw new Error(`chunk ${chunk} at ${start} is not what it was`)
  }
  closeSync(file)
  return { bytes: bytes / reads, ms: ms / reads }
}

await failing('measure-index', help, async (args) => {
  const { values, positionals } = parseArgs({
    args,
    options: { reads: { type: 'string', default: '500' } },
    allowPositionals: true,
  })
  const reads = within(values.reads, '--reads', 1, 1_000_000)
  const [path] = positionals
  if (path === undefined) throw new Error('it takes a layer; --help says more')
  const used = process.cpuUsage()
  const begun = performance.now()
  const index = await makeIndex(streamOf(path), '')
  const seconds = (performance.now() - begun) / 1000
  const { user, system } = process.cpuUsage(used)
  if (index.compression !== 'gzip') throw new Error(`${path} is not gzip`)
  const encoded = encodeIndex(index).length
  const others = encoded - index.points.windows.length
  const megabytes = (bytes: number) => (bytes / 1e6).toFixed(2)
  console.log(
    `${megabytes(statSync(path).size)} MB, unpacked ${megabytes(index.size)} MB, ${index.chunks.count} chunks: index ` +
      `${megabytes(encoded)} MB, made at ${(index.size / 1e6 / seconds).toFixed(0)} MB/s, ` +
      `${(index.size / (user + system)).toFixed(0)} MB of it per second of a processor`,
  )
  const table = new Table({
    head: [
      'KiB between points',
      'points',
      'bytes of a window',
      'index, MB',
      'at 100 Mbit/s, s',
      'for a chunk, KB',
      'ms',
    ],
  })
  for (const compressed of apart) {
    const points = pointsOf(path, compressed)
    const { bytes, ms } = read(path, index, points, reads)
    const whole = others + points.windows.length
    table.push([
      `${compressed / kib}${compressed === standardSpacing.compressed ? ' (as it is)' : ''}`,
      points.count,
      (points.windows.length / points.count).toFixed(0),
      megabytes(whole),
      (whole / link).toFixed(2),
      (bytes / 1e3).toFixed(0),
      ms.toFixed(1),
    ])
  }
  console.log(table.toString())
})
