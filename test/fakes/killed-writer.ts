/**
 * A process to be killed: opens the store in `argv[2]`, goes on with the blob that seed `argv[3]` names, its pieces in
 * random order (seed `argv[4]`) and several at once, and finishes it. Prints `open` when it starts to write.
 */
import { seededRandom, shuffle, systemClock } from '../../src/clock.ts'
import { DiskStore } from '../../src/store/disk-store.ts'
import { silentLog } from '../../src/telemetry/log.ts'
import { sample } from '../conformance/blob-store.ts'

export const killedBlobSize = 40 * 256 * 1024 + 17

if (import.meta.main) {
  const [dir = '', seed, order] = process.argv.slice(2)
  const { digest, size, piece, segment, layout } = sample(killedBlobSize, Number(seed))
  const store = await DiskStore.open({ dir, clock: systemClock, log: silentLog })
  const blob = store.create({ digest, size, kind: 'blob' })
  if (blob.metainfo.known.count < layout.count) blob.learn(segment())
  const pieces = Array.from({ length: layout.count }, (_, i) => i).filter((i) => !blob.have.has(i))
  shuffle(pieces, seededRandom(Number(order)))
  console.log('open')
  const work = async () => {
    for (let i = pieces.pop(); i !== undefined; i = pieces.pop()) {
      await blob.write(i, piece(i))
      await Bun.sleep(5)
    }
  }
  await Promise.all([work(), work(), work()])
  await blob.finish()
  await store.close()
}
