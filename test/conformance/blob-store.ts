/** What every BlobStore has to do, whatever it keeps its bytes in. */
import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import type { Clock } from '../../src/clock.ts'
import { seededRandom } from '../../src/clock.ts'
import { Failure, type FailureCode } from '../../src/failure.ts'
import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { parseTag, repositoryOf } from '../../src/oci/reference.ts'
import { layoutOf, pieceBytes, pieceStart } from '../../src/piece/layout.ts'
import { pieceDigest, pieceDigestBytes, type Segment } from '../../src/piece/metainfo.ts'
import type { Blob, BlobStore, StoreUsage } from '../../src/store/blob-store.ts'
import { FakeClock } from '../fakes/clock.ts'

export interface StoreSetup {
  readonly clock: Clock
  readonly limitBytes?: number
}

const KiB = 1024
const pieceLength = 256 * KiB

export function describeBlobStore(name: string, open: (setup: StoreSetup) => Promise<BlobStore>): void {
  describe(`${name} as a blob store`, () => {
    let clock: FakeClock
    let store: BlobStore
    const opened: BlobStore[] = []

    const openWith = async (limitBytes?: number): Promise<BlobStore> => {
      const made = await open(limitBytes === undefined ? { clock } : { clock, limitBytes })
      opened.push(made)
      return made
    }
    beforeEach(async () => {
      clock = new FakeClock()
      store = await openWith()
    })
    afterEach(async () => {
      for (const each of opened.splice(0)) await each.close()
    })

    test('knows nothing at first', async () => {
      expect(store.find(sample(10).digest)).toBeUndefined()
      expect([...store.all()]).toEqual([])
      expect(countsOf(store)).toEqual({ bytes: 0, complete: 0, partial: 0 })
      expect(await store.remove(sample(10).digest)).toBe(false)
    })

    test('creates an empty partial blob, and the same object again', () => {
      const { digest, size } = sample(3 * pieceLength)
      const blob = store.create({ digest, size, kind: 'blob', mediaType: 'application/x' })
      expect(blob).toMatchObject({
        digest,
        size,
        kind: 'blob',
        mediaType: 'application/x',
        complete: false,
        gone: false,
      })
      expect(blob.have.count).toBe(0)
      expect(blob.layout).toEqual(layoutOf(size))
      expect(store.create({ digest, size, kind: 'blob' })).toBe(blob)
      expect(store.find(digest)).toBe(blob)
      expect(countsOf(store)).toEqual({ bytes: 0, complete: 0, partial: 1 })
    })

    test('starts an incomplete blob over when its size turns out to be another', async () => {
      const { digest, size, piece } = sample(3 * pieceLength)
      const gone: Blob[] = []
      store.onGone((blob) => gone.push(blob))
      const first = store.create({ digest, size: size + 1, kind: 'blob' })
      await first.write(0, piece(0))
      const second = store.create({ digest, size, kind: 'blob' })
      expect(second).not.toBe(first)
      expect(first.gone).toBe(true)
      expect(gone).toEqual([first])
      expect(second.have.count).toBe(0)
      expect(store.usage().bytes).toBe(0)
      expect(await codeOf(first.write(1, piece(1)))).toBe('unavailable')
    })

    describe('bytes of which nobody knows yet what they are', () => {
      const spooled = async ({ bytes }: { readonly bytes: Uint8Array }) => {
        const spool = store.spool()
        for (let at = 0; at < bytes.length; at += 100_000) await spool.append(bytes.subarray(at, at + 100_000))
        return spool
      }

      test('become a blob that is whole, pinned or not, with its pieces stated', async () => {
        const it = sample(3 * pieceLength + 5)
        const spool = await spooled(it)
        expect(spool.length).toBe(it.size)
        expect(await spool.read(7, new Uint8Array(11))).toEqual(new Uint8Array(it.bytes.subarray(7, 18)))
        const blob = await spool.keep({ digest: it.digest, kind: 'blob', mediaType: 'application/x' }, [it.segment()])
        expect(blob).toMatchObject({ size: it.size, kind: 'blob', mediaType: 'application/x', complete: true })
        expect([blob.sound(), blob.metainfo.known.complete, blob.have.complete]).toEqual([true, true, true])
        expect(Buffer.from(await blob.read({ start: 0, end: it.size })).equals(it.bytes)).toBe(true)
        expect(store.find(it.digest)).toBe(blob)
        expect(countsOf(store)).toEqual({ bytes: it.size, complete: 1, partial: 0 })
        expect(await codeOf(spool.append(it.bytes))).toBe('unavailable')
      })

      test('can be nothing at all', async () => {
        const it = sample(0)
        const blob = await store.spool().keep({ digest: it.digest, kind: 'blob' }, [])
        expect([blob.complete, blob.size]).toEqual([true, 0])
      })

      test('complete what is here in part', async () => {
        const it = sample(3 * pieceLength)
        const known = store.create({ digest: it.digest, size: it.size, kind: 'blob' })
        await known.write(1, it.piece(1))
        const blob = await (await spooled(it)).keep({ digest: it.digest, kind: 'blob' }, [it.segment()])
        expect(blob).toBe(known)
        expect(blob.complete).toBe(true)
        expect(Buffer.from(await blob.read({ start: 0, end: it.size })).equals(it.bytes)).toBe(true)
      })

      test('leave what is here whole as it is', async () => {
        const it = sample(1000)
        const known = await store.put({ digest: it.digest, kind: 'blob' }, it.bytes)
        expect(await (await spooled(it)).keep({ digest: it.digest, kind: 'blob' }, [])).toBe(known)
        expect(countsOf(store)).toEqual({ bytes: 1000, complete: 1, partial: 0 })
      })

      test('leave nothing behind when they are discarded', async () => {
        const spool = await spooled(sample(5000))
        await spool.discard()
        await spool.discard()
        expect(countsOf(store)).toEqual({ bytes: 0, complete: 0, partial: 0 })
        expect(await codeOf(spool.append(new Uint8Array(1)))).toBe('unavailable')
      })

      test('count for what the store may hold', async () => {
        store = await openWith(5 * pieceLength)
        const old = sample(2 * pieceLength)
        await store.put({ digest: old.digest, kind: 'blob' }, old.bytes)
        const spool = await spooled(sample(4 * pieceLength, 2))
        expect(store.find(old.digest)).toBeUndefined()
        expect(await codeOf(spool.append(new Uint8Array(2 * pieceLength)))).toBe('no-space')
        expect(spool.length).toBe(4 * pieceLength)
        await spool.discard()
        await store.put({ digest: old.digest, kind: 'blob' }, old.bytes)
      })
    })

    test('believes the size of a complete blob', async () => {
      const { digest, bytes, size } = sample(1000)
      const blob = await store.put({ digest, kind: 'blob' }, bytes)
      expect(store.create({ digest, size: size + 1, kind: 'blob' })).toBe(blob)
    })

    test('learns that a blob is a manifest, and of which type, when somebody knows', async () => {
      const { digest, bytes } = sample(1000)
      const blob = await store.put({ digest, kind: 'blob' }, bytes)
      await store.put({ digest, kind: 'manifest', mediaType: 'application/m' }, bytes)
      expect(blob).toMatchObject({ kind: 'manifest', mediaType: 'application/m' })
      store.create({ digest, size: 1000, kind: 'blob', mediaType: 'application/octet-stream' })
      expect(blob).toMatchObject({ kind: 'manifest', mediaType: 'application/m' })
    })

    test('whatever the order of its pieces, a blob is whole in the end and reads as it was', async () => {
      const property = fc.asyncProperty(
        fc.integer({ min: 0, max: 5 * pieceLength }),
        fc.integer(),
        fc.constantFrom('sha256' as const, 'sha512' as const),
        async (size, seed, algorithm) => {
          const { digest, bytes, piece, layout } = sample(size, seed, algorithm)
          const blob = store.create({ digest, size, kind: 'blob' })
          const random = seededRandom(seed)
          const order = Array.from({ length: layout.count }, (_, i) => i).sort(() => random() - 0.5)
          const twice = [...order, order[0]!]
          if (random() < 0.5) await Promise.all(twice.map((i) => blob.write(i, piece(i))))
          else for (const i of twice) await blob.write(i, piece(i))
          expect(blob.complete).toBe(false)
          await Promise.all([blob.finish(), blob.finish()])
          expect(blob.complete).toBe(true)
          const [a, b] = [Math.floor(random() * size), Math.floor(random() * size)]
          const span = { start: Math.min(a, b), end: Math.max(a, b) }
          expect(await blob.read(span)).toEqual(bytes.slice(span.start, span.end))
          expect(Buffer.compare(await blob.read({ start: 0, end: size }), bytes)).toBe(0)
          expect(countsOf(store)).toEqual({ bytes: size, complete: 1, partial: 0 })
          await store.remove(digest)
        },
      )
      await fc.assert(property, { numRuns: 30 })
    })

    test('has a piece as soon as its write resolves, and counts its bytes once', async () => {
      const { digest, size, piece } = sample(2 * pieceLength + 5)
      const blob = store.create({ digest, size, kind: 'blob' })
      await blob.write(2, piece(2))
      expect([...blob.have.indexes()]).toEqual([2])
      await Promise.all([blob.write(2, piece(2)), blob.write(0, piece(0)), blob.write(0, piece(0))])
      expect(store.usage().bytes).toBe(pieceLength + 5)
      expect(await blob.read({ start: 2 * pieceLength + 1, end: size })).toEqual(piece(2).slice(1))
    })

    test('does not pass holes for bytes', async () => {
      const { digest, size, piece } = sample(3 * pieceLength)
      const blob = store.create({ digest, size, kind: 'blob' })
      await blob.write(0, piece(0))
      await blob.write(2, piece(2))
      expect(await codeOf(blob.read({ start: pieceLength - 1, end: pieceLength + 1 }))).toBe('internal')
      expect(await codeOf(blob.read({ start: 0, end: size + 1 }))).toBe('bad-range')
      expect(await codeOf(blob.finish())).toBe('internal')
      expect(blob.gone).toBe(false)
    })

    test('refuses a piece that has not the length of its place', async () => {
      const { digest, size, piece } = sample(2 * pieceLength + 5)
      const blob = store.create({ digest, size, kind: 'blob' })
      expect(await codeOf(blob.write(2, piece(0)))).toBe('internal')
      expect(await codeOf(blob.write(3, piece(0)))).toBe('internal')
      expect(blob.have.count).toBe(0)
    })

    test('drops a blob whose pieces together are not what its digest promises', async () => {
      const { digest, size, piece } = sample(3 * pieceLength)
      const gone: Blob[] = []
      store.onGone((blob) => gone.push(blob))
      const blob = store.create({ digest, size, kind: 'blob' })
      for (const i of [2, 0]) await blob.write(i, piece(i))
      await blob.write(1, piece(0))
      expect(await codeOf(blob.finish())).toBe('corrupt')
      expect(blob).toMatchObject({ gone: true, complete: false })
      expect(gone).toEqual([blob])
      expect(store.find(digest)).toBeUndefined()
      expect(countsOf(store)).toEqual({ bytes: 0, complete: 0, partial: 0 })
      const again = store.create({ digest, size, kind: 'blob' })
      for (const i of [0, 1, 2]) await again.write(i, piece(i))
      await again.finish()
      expect(again.complete).toBe(true)
    })

    test('refuses to put bytes that have another digest', async () => {
      const { digest } = sample(100)
      expect(await codeOf(store.put({ digest, kind: 'manifest' }, new Uint8Array(100)))).toBe('corrupt')
      expect(store.find(digest)).toBeUndefined()
    })

    test('puts the same bytes from two callers at once', async () => {
      const { digest, bytes } = sample(pieceLength + 100)
      const [a, b] = await Promise.all([1, 2].map(() => store.put({ digest, kind: 'manifest' }, bytes)))
      expect(a).toBe(b!)
      expect(countsOf(store)).toEqual({ bytes: bytes.length, complete: 1, partial: 0 })
    })

    test('keeps segments of piece digests', () => {
      const { digest, size, segment } = sample(4 * pieceLength)
      const blob = store.create({ digest, size, kind: 'blob' })
      expect(blob.learn(segment(1, 2))).toBe('new')
      expect(blob.learn(segment(1, 2))).toBe('known')
      expect(blob.metainfo.segments).toEqual([segment(1, 2)])
      expect([...blob.metainfo.known.indexes()]).toEqual([1, 2])
    })

    test('removes a blob at once when nobody holds it', async () => {
      const { digest, bytes } = sample(1000)
      const blob = await store.put({ digest, kind: 'blob' }, bytes)
      const gone: Blob[] = []
      store.onGone((each) => gone.push(each))
      expect(await store.remove(digest)).toBe(true)
      expect(blob.gone).toBe(true)
      expect(gone).toEqual([blob])
      expect(store.find(digest)).toBeUndefined()
      expect(await codeOf(blob.read({ start: 0, end: 1 }))).toBe('unavailable')
    })

    test('removes a held blob when the last holder lets go', async () => {
      const { digest, bytes } = sample(1000)
      const blob = await store.put({ digest, kind: 'blob' }, bytes)
      const [one, two] = [blob.hold(), blob.hold()]
      expect(await store.remove(digest)).toBe(true)
      one()
      one()
      expect(blob.gone).toBe(false)
      expect(await blob.read({ start: 0, end: 1000 })).toEqual(bytes)
      two()
      expect(blob.gone).toBe(true)
      expect(store.find(digest)).toBeUndefined()
    })

    test('makes room by evicting what was used least recently, and never what is held', async () => {
      const small = await openWith(3 * pieceLength)
      const blobs: Blob[] = []
      for (const seed of [1, 2, 3]) {
        clock.advance(60_000)
        const { digest, bytes } = sample(pieceLength, seed)
        blobs.push(await small.put({ digest, kind: 'blob' }, bytes))
      }
      clock.advance(60_000)
      const letGo = blobs[0]!.hold()
      const { digest, bytes } = sample(pieceLength, 4)
      const fourth = await small.put({ digest, kind: 'blob' }, bytes)
      expect([...small.all()]).toEqual([blobs[0]!, blobs[2]!, fourth])
      expect(blobs[1]!.gone).toBe(true)
      expect(countsOf(small)).toEqual({ bytes: 3 * pieceLength, complete: 3, partial: 0, limit: 3 * pieceLength })
      letGo()
    })

    test('says so when there is no room', async () => {
      const small = await openWith(2 * pieceLength)
      const held = sample(pieceLength, 1)
      const letGo = (await small.put({ digest: held.digest, kind: 'blob' }, held.bytes)).hold()
      const { digest, size, piece } = sample(2 * pieceLength, 2)
      const blob = small.create({ digest, size, kind: 'blob' })
      await blob.write(0, piece(0))
      const keep = blob.hold()
      expect(await codeOf(blob.write(1, piece(1)))).toBe('no-space')
      expect([...blob.have.indexes()]).toEqual([0])
      letGo()
      await blob.write(1, piece(1))
      keep()
      expect(small.find(held.digest)).toBeUndefined()
      const big = sample(3 * pieceLength, 3)
      expect(await codeOf(small.put({ digest: big.digest, kind: 'blob' }, big.bytes))).toBe('no-space')
    })

    test('leaves pinned blobs alone until the last of their pins is over', async () => {
      const small = await openWith(2 * pieceLength)
      const [one, two, three] = [sample(pieceLength, 1), sample(pieceLength, 2), sample(pieceLength, 3)]
      const put = ({ digest, bytes }: typeof one) => small.put({ digest, kind: 'blob' }, bytes)
      small.pin({ digest: one.digest, reason: 'an image', until: clock.wall() + 60_000 })
      small.pin({ digest: one.digest, reason: 'a preheat', until: clock.wall() + 30_000 })
      small.pin({ digest: two.digest, reason: 'an image' })
      await put(one)
      await put(two)
      clock.advance(45_000)
      expect(await codeOf(put(three))).toBe('no-space')
      expect(small.plan(0).reasons.get(one.digest)).toBe(
        `pinned until ${new Date(clock.wall() + 15_000).toISOString()}`,
      )
      expect(small.plan(0).reasons.get(two.digest)).toBe('pinned')
      expect(small.pins(one.digest).map(({ reason }) => reason)).toEqual(['an image'])
      clock.advance(15_000)
      await put(three)
      expect([small.find(one.digest), small.find(two.digest)?.complete]).toEqual([undefined, true])
      expect([small.unpin(two.digest, 'a preheat'), small.unpin(two.digest, 'an image')]).toEqual([false, true])
      expect(small.pins()).toEqual([])
      clock.advance(1000)
      small.find(three.digest)!.hold()()
      await put(one)
      expect(small.find(two.digest)).toBeUndefined()
    })

    test('removes a pinned blob that is asked to go, and a pin waits for one that is not here', async () => {
      const small = await openWith(pieceLength)
      const [one, two] = [sample(pieceLength, 1), sample(pieceLength, 2)]
      small.pin({ digest: one.digest, reason: 'an image' })
      await small.put({ digest: one.digest, kind: 'blob' }, one.bytes)
      expect(await small.remove(one.digest)).toBe(true)
      expect(small.find(one.digest)).toBeUndefined()
      await small.put({ digest: one.digest, kind: 'blob' }, one.bytes)
      expect(await codeOf(small.put({ digest: two.digest, kind: 'blob' }, two.bytes))).toBe('no-space')
      expect(small.find(one.digest)?.complete).toBe(true)
    })

    test('evicts nothing for a blob that would not become whole even so', async () => {
      const small = await openWith(4 * pieceLength)
      const [held, old, big] = [sample(2 * pieceLength, 1), sample(pieceLength, 2), sample(3 * pieceLength, 3)]
      const letGo = (await small.put({ digest: held.digest, kind: 'blob' }, held.bytes)).hold()
      await small.put({ digest: old.digest, kind: 'blob' }, old.bytes)
      clock.advance(1000)
      expect(await codeOf(small.put({ digest: big.digest, kind: 'blob' }, big.bytes))).toBe('no-space')
      expect(small.find(old.digest)?.complete).toBe(true)
      letGo()
    })

    test('does not count it as a use that its bytes are read or checked', async () => {
      const { digest, bytes } = sample(pieceLength + 10)
      const blob = await store.put({ digest, kind: 'blob' }, bytes)
      const before = blob.usedAt
      clock.advance(20_000)
      expect([await blob.check(0), await blob.check(1)]).toEqual([true, true])
      expect(await blob.read({ start: 0, end: blob.size })).toEqual(bytes)
      expect(blob.usedAt).toBe(before)
    })

    test('counts a hold as a use', async () => {
      const { digest, bytes } = sample(10)
      const blob = await store.put({ digest, kind: 'blob' }, bytes)
      const before = blob.usedAt
      clock.advance(5000)
      const letGo = blob.hold()
      expect(blob.usedAt).toBe(before + 5000)
      clock.advance(1000)
      letGo()
      expect(blob.usedAt).toBe(before + 6000)
    })

    test('remembers tags, where blobs were seen, whom the source let in, and bans until they end', () => {
      const repository = repositoryOf('ghcr.io', 'org/app')
      const other = repositoryOf('docker.io', 'debian')
      const { digest } = sample(10)
      expect(store.tag(repository, parseTag('v1'))).toBeUndefined()
      const record = { digest, mediaType: 'application/m', size: 10, resolvedAt: clock.wall() }
      store.setTag(repository, parseTag('v1'), { ...record, size: 9 })
      store.setTag(repository, parseTag('v1'), record)
      expect(store.tag(repository, parseTag('v1'))).toEqual(record)
      expect(store.tag(other, parseTag('v1'))).toBeUndefined()

      expect(store.repositoriesOf(digest)).toEqual([])
      for (const each of [repository, other, repository]) store.seenIn(digest, each)
      expect(store.repositoriesOf(digest)).toHaveLength(2)
      expect(store.repositoriesOf(digest)).toContainEqual(repository)
      const digests = (text: string) => [...store.seenWhere(text)]
      expect([digests('ghcr.io/or'), digests('o/org/a'), digests('debian')]).toEqual([[digest], [digest], [digest]])
      expect([digests('org_app'), digests('o%p'), digests('debian/')]).toEqual([[], [], []])
      const near = [repositoryOf('ghcr.io', 'debian'), repositoryOf('ghcr.io', 'org/app2')]
      expect([repository, other, ...near].map((each) => store.wasSeenIn(digest, each))).toEqual([
        true,
        true,
        false,
        false,
      ])
      expect(store.wasSeenIn(sample(11).digest, repository)).toBe(false)

      expect(store.granted(repository, 'anyone')).toBeUndefined()
      store.setGranted(repository, 'anyone', 7)
      store.setGranted(repository, 'anyone', 8)
      store.setGranted(repository, 'node', 9)
      expect([store.granted(repository, 'anyone'), store.granted(repository, 'node')]).toEqual([8, 9])
      expect([store.granted(repository, 'shared'), store.granted(other, 'anyone')]).toEqual([undefined, undefined])
      store.setGranted(repository, 'anyone', undefined)
      expect(store.granted(repository, 'anyone')).toBeUndefined()

      store.ban('12D3node', 'sent a wrong piece', clock.wall() + 1000)
      expect([...store.bans()]).toEqual([
        { node: '12D3node', reason: 'sent a wrong piece', until: clock.wall() + 1000 },
      ])
      clock.advance(1001)
      expect([...store.bans()]).toEqual([])
      store.ban('12D3node', 'again', clock.wall() + 1000)
      store.unban('12D3node')
      expect([...store.bans()]).toEqual([])
    })
  })
}

/** What the disk takes for it is up to the disk. */
export function countsOf(store: BlobStore): Omit<StoreUsage, 'disk'> {
  const { disk: _, ...counts } = store.usage()
  return counts
}

/** Content that is the same for the same size and seed. */
export function sample(size: number, seed = 7, algorithm: 'sha256' | 'sha512' = 'sha256') {
  const bytes = noise(size, seed)
  const layout = layoutOf(size)
  const digest: Digest = digestOf(bytes, algorithm)
  const piece = (i: number) => {
    const start = pieceStart(layout, i)
    return bytes.slice(start, start + pieceBytes(layout, i))
  }
  /** What a seed would state about `count` pieces from `first` on; nobody verifies the signature here. */
  const segment = (first = 0, count = layout.count): Segment => {
    const digests = new Uint8Array(count * pieceDigestBytes)
    for (let i = 0; i < count; i++) digests.set(pieceDigest(piece(first + i)), i * pieceDigestBytes)
    return { first, digests, signer: '12D3signer', signature: new Uint8Array([1, 2, 3]) }
  }
  return { bytes, size, layout, digest, piece, segment }
}

function noise(size: number, seed: number): Uint8Array {
  const random = seededRandom(seed)
  const words = new Uint32Array((size + 3) >> 2)
  for (let i = 0; i < words.length; i++) words[i] = random() * 0x1_0000_0000
  return new Uint8Array(words.buffer).slice(0, size)
}

async function codeOf(promise: Promise<unknown>): Promise<FailureCode | undefined> {
  const error = await promise.then(
    () => undefined,
    (error: unknown) => error,
  )
  return error === undefined ? undefined : Failure.from(error).code
}
