/**
 * A process in a mount namespace of its own: brings a layer in the background to a disk at `argv[2]` that it does not fit
 * on, lets go of it meanwhile, and prints as JSON what that was like. The disk is a tmpfs that ends with the process.
 */
import { strict as assert } from 'node:assert'
import { systemClock } from '../../src/clock.ts'
import { UnpackedLayers } from '../../src/mount/unpacked/layers.ts'
import { until } from '../lab/until.ts'
import { LazyNode, sampleLayer, text } from './lazy-node.ts'
import { specOf } from './unpacked.ts'

const [dir = ''] = process.argv.slice(2)
const mounted = Bun.spawnSync(['mount', '-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', dir])
assert.equal(mounted.exitCode, 0, mounted.stderr.toString())

const sample = sampleLayer([text(2, 6_000_000)])
const node = new LazyNode([sample])
const layers = new UnpackedLayers({ dir, clock: systemClock, limitBytes: Number.POSITIVE_INFINITY })
const layer = await layers.open(specOf(node, sample, true))
const told = () => layer.progress().errors.some((error) => error.includes('cannot be kept'))
await until('the disk is full', 20, async () => told())
const before = node.bytes
await Bun.sleep(4000)
const times = (node.bytes - before) / sample.bytes.length
const closed = await Promise.race([layer.close().then(() => true), Bun.sleep(10_000).then(() => false)])
console.log(JSON.stringify({ told: told(), seldom: times < 6, closed }))
process.exit(0)
