/**
 * Reads parts of a blob as a lazy loading client does, on a host of the lab: ranges of an answer each, so many at a time.
 *
 * usage: bun read-parts.ts URL SIZE FILE AT; FILE has a {@link Reading} in JSON. It starts at AT, milliseconds since 1970,
 * and prints one line of JSON, a {@link PartsRead}.
 */
import { readFileSync } from 'node:fs'
import type { Host } from './host.ts'

export interface Reading {
  /** First byte and last, both inclusive, in the order in which they are read. */
  readonly ranges: readonly (readonly [number, number])[]
  readonly atOnce: number
  /** As the header `shoal-prefetch` has it. */
  readonly prefetch?: string
}

export interface PartsRead {
  readonly seconds: number
  readonly bytes: number
  /** From the request for the first range to its last byte. */
  readonly firstSeconds: number
  /** SHA-256 of all that was read, in the order of the ranges. */
  readonly digest: string
}

/** @throws when an answer is not exactly the range that was asked for */
export async function readParts(url: string, size: number, { ranges, atOnce, prefetch }: Reading): Promise<PartsRead> {
  const start = performance.now()
  const read: Uint8Array[] = []
  let firstSeconds = 0
  let next = 0
  const worker = async () => {
    for (let i = next++; i < ranges.length; i = next++) {
      const [first, last] = ranges[i]!
      const headers = { range: `bytes=${first}-${last}`, ...(prefetch ? { 'shoal-prefetch': prefetch } : {}) }
      const response = await fetch(url, { headers })
      const bytes = await response.bytes()
      const place = response.headers.get('content-range')
      if (response.status !== 206 || place !== `bytes ${first}-${last}/${size}` || bytes.length !== last - first + 1) {
        throw new Error(`${url} ${headers.range}: ${response.status} ${place}, ${bytes.length} bytes`)
      }
      read[i] = bytes
      if (i === 0) firstSeconds = (performance.now() - start) / 1000
    }
  }
  await Promise.all(Array.from({ length: atOnce }, worker))
  const hash = new Bun.CryptoHasher('sha256')
  for (const bytes of read) hash.update(bytes)
  const bytes = read.reduce((sum, { length }) => sum + length, 0)
  return { seconds: (performance.now() - start) / 1000, bytes, firstSeconds, digest: hash.digest('hex') }
}

/** The same on a host, at a time as `Date.now()` has it. */
export async function readPartsOn(host: Host, url: string, size: number, file: string, at: number): Promise<PartsRead> {
  return JSON.parse(await host.exec([process.execPath, import.meta.path, url, String(size), file, String(at)]))
}

if (import.meta.main) {
  const [url, size, file, at] = process.argv.slice(2)
  if (!url || !size || !file || !at) {
    console.error('usage: bun read-parts.ts URL SIZE FILE AT')
    process.exit(2)
  }
  const reading: Reading = JSON.parse(readFileSync(file, 'utf8'))
  await Bun.sleep(Math.max(0, Number(at) - Date.now()))
  console.log(JSON.stringify(await readParts(url, Number(size), reading)))
}
