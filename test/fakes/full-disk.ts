/**
 * A process in a mount namespace of its own: fills the small disk at `argv[2]` with a store, and prints as JSON what
 * came of it. The disk is a tmpfs that ends with the process.
 */
import { strict as assert } from 'node:assert'
import { systemClock } from '../../src/clock.ts'
import { Failure } from '../../src/failure.ts'
import { DiskStore } from '../../src/store/disk-store.ts'
import { silentLog } from '../../src/telemetry/log.ts'
import { sample } from '../conformance/blob-store.ts'

const MiB = 1024 * 1024
const [dir = ''] = process.argv.slice(2)
const mounted = Bun.spawnSync(['mount', '-t', 'tmpfs', '-o', 'size=16m', 'tmpfs', dir])
assert.equal(mounted.exitCode, 0, mounted.stderr.toString())

const open = () => DiskStore.open({ dir, clock: systemClock, log: silentLog })
const store = await open()
const [first, second, third] = [sample(6 * MiB, 1), sample(8 * MiB, 2), sample(12 * MiB, 3)]
await store.put({ digest: first.digest, kind: 'blob' }, first.bytes)
const letGo = (await store.put({ digest: second.digest, kind: 'blob' }, second.bytes)).hold()
const evicted = store.find(first.digest) === undefined
const blob = store.create({ digest: third.digest, size: third.size, kind: 'blob' })
blob.learn(third.segment())
const writes = await Promise.allSettled([...Array(third.layout.count).keys()].map((i) => blob.write(i, third.piece(i))))
const failures = writes.filter((write) => write.status === 'rejected').map((write) => Failure.from(write.reason).code)
letGo()
await store.close()

const again = await open()
const kept = again.find(second.digest)
const whole = kept ? Buffer.compare(await kept.read({ start: 0, end: kept.size }), second.bytes) === 0 : false
const partial = again.find(third.digest)
const wrong: number[] = []
for (const piece of partial?.have.indexes() ?? []) {
  const start = piece * third.layout.pieceLength
  const bytes = await partial!.read({ start, end: Math.min(start + third.layout.pieceLength, third.size) })
  if (!partial!.metainfo.verify(piece, bytes)) wrong.push(piece)
}
await again.close()
console.log(JSON.stringify({ evicted, failures: [...new Set(failures)], whole, wrong }))
