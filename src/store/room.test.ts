import { expect, test } from 'bun:test'
import { FakeClock } from '../../test/fakes/clock.ts'
import type { Digest } from '../oci/digest.ts'
import { silentLog } from '../telemetry/log.ts'
import type { DiskBlob } from './disk-blob.ts'
import { FreeSpace } from './free-space.ts'
import { Room } from './room.ts'

const MiB = 1024 ** 2
const blobBytes = 80 * MiB

/** Counts how often somebody walks over it. */
class Walked extends Map<Digest, DiskBlob> {
  walks = 0
  override values() {
    this.walks++
    return super.values()
  }
}

/** A full store of so many blobs. */
function full(count: number) {
  const blobs = new Walked()
  let [made, disk] = [0, 0]
  const add = (bytes: number) => {
    const digest = `sha256:${String(made).padStart(64, '0')}` as Digest
    const blob = { digest, disk: bytes, usedAt: made++, held: false, complete: true }
    blobs.set(digest, blob as DiskBlob)
    disk += bytes
    return blob
  }
  for (let i = 0; i < count; i++) add(blobBytes)
  const house = {
    blobs,
    disk: () => disk,
    beside: () => 0,
    uploads: () => 0,
    drop: async (gone: readonly DiskBlob[]) => {
      for (const { digest } of gone) blobs.delete(digest)
      disk -= gone.length * blobBytes
    },
  }
  /** Takes a blob, a piece after the other. */
  const take = (room: Room, size: number) => {
    const blob = add(0)
    blob.held = true
    for (; blob.disk < size; blob.disk += MiB, disk += MiB) {
      room.reserve({ name: 'it', size, bytes: blob.disk, leftover: 0 }, MiB)()
    }
    blob.held = false
  }
  return { blobs, house, take }
}

test.each(['--cache-size', '--keep-free'])(
  'a full store of many blobs does not plan for each that it takes: %s',
  (by) => {
    const count = 10_000
    const { blobs, house, take } = full(count)
    const [limitBytes, clock] = [count * blobBytes, new FakeClock()]
    const disk = () => ({ total: limitBytes + 1024, free: limitBytes + 1024 - house.disk() })
    const space = new FreeSpace({ bytes: 1024 }, clock, disk)
    const room = new Room({ ...(by === '--cache-size' ? { limitBytes } : { space }), clock, log: silentLog }, house)
    for (let i = 0; i < 60; i++) take(room, blobBytes)
    expect(blobs.walks).toBe(1)
    expect(house.disk()).toBeLessThanOrEqual(limitBytes)
    for (let i = 0; i < 60; i++) take(room, blobBytes)
    expect(blobs.walks).toBe(2)
    expect(blobs.size).toBe(count + 120 - 2 * 64)
  },
)

test('a small store plans once for each step of a blob that it takes, and lets no more go', () => {
  const { blobs, house, take } = full(20)
  const room = new Room({ limitBytes: 20 * blobBytes, clock: new FakeClock(), log: silentLog }, house)
  take(room, blobBytes)
  expect([blobs.walks, blobs.size]).toEqual([1, 20])
})
