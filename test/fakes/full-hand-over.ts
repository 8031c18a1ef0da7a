/**
 * A process in a mount namespace of its own: of three layers that share most, the first one goes from a full disk at `argv[2]`,
 * and the others had that from it; prints as JSON what counts as here. The disk is a tmpfs that ends with the process.
 */
import { strict as assert } from 'node:assert'
import { closeSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { systemClock } from '../../src/clock.ts'
import { UnpackedLayers } from '../../src/mount/unpacked/layers.ts'
import { until } from '../lab/until.ts'
import { LazyNode, sampleLayer, text } from './lazy-node.ts'
import { specOf } from './unpacked.ts'

const [dir = ''] = process.argv.slice(2)
const mounted = Bun.spawnSync(['mount', '-t', 'tmpfs', '-o', 'size=6m', 'tmpfs', dir])
assert.equal(mounted.exitCode, 0, mounted.stderr.toString())

const shared = text(1, 1_500_000)
const lends = sampleLayer([shared])
const [read, whole] = [sampleLayer([text(2, 100_000), shared]), sampleLayer([text(3, 100_000), shared])]
const node = new LazyNode([lends, read, whole])
const layers = new UnpackedLayers({ dir, clock: systemClock, limitBytes: Number.POSITIVE_INFINITY })
const open = async (sample: typeof lends, prefetch: boolean) => {
  const layer = await layers.open(specOf(node, sample, prefetch))
  await layer.read(0, layer.size, AbortSignal.timeout(20_000))
  await until('it is stored', 20, () => layer.progress().complete)
  return layer
}
const first = await open(lends, false)
const [others, all] = [await open(read, false), await open(whole, true)]
const complete = () => [others.progress().complete, all.progress().complete]
// What is done in the background for one that is complete takes a moment.
await Bun.sleep(500)
await first.close()
const before = complete()
const fd = openSync(join(dir, 'filler'), 'w')
try {
  for (;;) writeSync(fd, new Uint8Array(65_536))
} catch (error) {
  assert.equal((error as NodeJS.ErrnoException).code, 'ENOSPC')
}
closeSync(fd)
// Its room is free when nobody has it open any more.
const held = openSync(first.path, 'r')
assert(await layers.makeRoom())
const after = complete()
closeSync(held)
await until('what all was to come of is here', 20, () => all.progress().complete)
const right = Buffer.compare(await others.read(0, others.size, AbortSignal.timeout(20_000)), read.shown) === 0
console.log(JSON.stringify({ before, after, right }))
await layers.close()
await node.stop()
