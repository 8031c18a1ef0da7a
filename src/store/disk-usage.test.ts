/** What a store says that it takes of the disk, against what the file system says. */
import { expect, setDefaultTimeout, test } from 'bun:test'
import { lstatSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { sample } from '../../test/conformance/blob-store.ts'
import { FakeClock } from '../../test/fakes/clock.ts'
import { diskStores, messageOf } from '../../test/fakes/disk-stores.ts'
import { seededRandom } from '../clock.ts'
import { digestOf } from '../oci/digest.ts'
import { repositoryOf } from '../oci/reference.ts'
import { Beside, besideBlobs } from './beside.ts'

// Each takes its time on a busy machine.
setDefaultTimeout(60_000)

const pieceLength = 256 * 1024
const { newDir, openStore } = diskStores()

/** What `du` would say of the files below it, directories left out. */
function taken(dir: string): number {
  return readdirSync(dir, { withFileTypes: true }).reduce((sum, entry) => {
    const path = join(dir, entry.name)
    return sum + (entry.isDirectory() ? taken(path) : lstatSync(path).blocks * 512)
  }, 0)
}

test('whatever is written, completed, spoilt and removed, it is what the file system says, also after a restart', async () => {
  const property = fc.asyncProperty(fc.integer(), async (seed) => {
    const random = seededRandom(seed)
    const dir = newDir()
    const clock = new FakeClock()
    const store = await openStore(dir, { clock })
    for (let i = 0; i < 6; i++) {
      const { digest, size, layout, piece } = sample(1 + Math.floor(random() * 6 * pieceLength), seed + i)
      const blob = store.create({ digest, size, kind: 'blob' })
      const pieces = [...Array(layout.count).keys()].filter(() => random() < 0.8)
      await Promise.all(pieces.map((i) => blob.write(i, piece(i))))
      if (blob.have.complete) await blob.finish()
      if (random() < 0.2) await store.remove(digest)
    }
    await Promise.all([...store.all()].map((blob) => blob.sync()))
    clock.advance(5000)
    const blobs = taken(join(dir, 'blobs'))
    expect(store.usage().disk - besideBlobs(dir)).toBe(blobs)
    await store.close()
    const again = await openStore(dir, { clock: new FakeClock() })
    expect(again.usage().disk - besideBlobs(dir)).toBe(taken(join(dir, 'blobs')))
    await again.close()
  })
  await fc.assert(property, { numRuns: 8 })
}, 60_000)

test('a small blob takes a block, a sparse one what was written of it, and the catalog counts', async () => {
  const dir = newDir()
  const clock = new FakeClock()
  const store = await openStore(dir, { clock })
  const empty = store.usage().disk
  expect(empty).toBe(besideBlobs(dir))
  expect(empty).toBeGreaterThan(statSync(join(dir, 'shoal.db')).size)
  const [small, sparse] = [sample(10, 1), sample(64 * pieceLength, 2)]
  await store.put({ digest: small.digest, kind: 'blob' }, small.bytes)
  expect(store.usage().disk - empty).toBe(4096)
  await store.create({ digest: sparse.digest, size: sparse.size, kind: 'blob' }).write(40, sparse.piece(40))
  expect(store.usage().disk - empty).toBe(4096 + sparse.layout.pieceLength)
})

test('what others put into the directory is not its own', async () => {
  const dir = newDir()
  const store = await openStore(dir, { clock: new FakeClock() })
  writeFileSync(join(dir, 'backup.tar'), new Uint8Array(100_000))
  expect(besideBlobs(dir)).toBe(store.usage().disk)
})

test('in a small store the log of the catalog stays small, however much comes and goes', async () => {
  const dir = newDir()
  const limitBytes = 16 * 1024 * 1024
  const clock = new FakeClock()
  const store = await openStore(dir, { limitBytes, clock })
  const repository = repositoryOf('docker.io', 'library/debian')
  for (let i = 0; i < 800; i++) {
    store.seenIn(digestOf(Buffer.from(`${i}`)), repository)
    // Long enough for it to be recorded.
    clock.advance(1000)
  }
  expect(statSync(join(dir, 'shoal.db-wal')).size).toBeWithin(4096, limitBytes / 10)
})

test('the limit is for all of it: what the catalog takes is not there for blobs', async () => {
  const catalog = pieceLength
  const store = await openStore(newDir(), {
    limitBytes: 3 * pieceLength,
    beside: () => catalog,
    clock: new FakeClock(),
  })
  const [fits, large] = [sample(2 * pieceLength, 1), sample(2 * pieceLength + 1, 2)]
  await store.put({ digest: fits.digest, kind: 'blob' }, fits.bytes)
  const put = store.put({ digest: large.digest, kind: 'blob' }, large.bytes)
  expect(await messageOf(put)).toContain(`more than fit into the whole store (${3 * pieceLength} bytes`)
  expect(store.usage().trouble).toContain('raise --cache-size')
  expect(store.usage().broken).toBeUndefined()
  expect(store.find(fits.digest)?.complete).toBe(true)
})

test('what is wrong is told for a minute', async () => {
  const clock = new FakeClock()
  const store = await openStore(newDir(), { limitBytes: pieceLength, beside: () => 0, clock })
  const large = sample(2 * pieceLength)
  await messageOf(store.put({ digest: large.digest, kind: 'blob' }, large.bytes))
  clock.advance(59_000)
  expect(store.usage().trouble).toContain('raise --cache-size')
  clock.advance(1000)
  expect(store.usage().trouble).toBeUndefined()
})

test('a look at the directory that fails, for want of a descriptor or so, ends nothing: the last one counts', () => {
  const clock = new FakeClock()
  let fails = false
  const beside = new Beside(clock, () => {
    if (fails) throw new Error('EMFILE')
    return 4096
  })
  expect(beside.bytes).toBe(4096)
  fails = true
  clock.advance(5000)
  expect(beside.bytes).toBe(4096)
})
