/**
 * A process in a mount namespace of its own: reads layers through unpacked ones on a small disk at `argv[2]`, and prints as
 * JSON what came of it. The disk is a tmpfs that ends with the process.
 */
import { strict as assert } from 'node:assert'
import { systemClock } from '../../src/clock.ts'
import { UnpackedLayers } from '../../src/mount/unpacked/layers.ts'
import type { UnpackedLayer } from '../../src/mount/unpacked-layer.ts'
import { until } from '../lab/until.ts'
import { LazyNode, sampleLayer, text } from './lazy-node.ts'
import { specOf } from './unpacked.ts'

const [dir = ''] = process.argv.slice(2)
const mounted = Bun.spawnSync(['mount', '-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', dir])
assert.equal(mounted.exitCode, 0, mounted.stderr.toString())

const [small, large] = [sampleLayer([text(1, 1_500_000)]), sampleLayer([text(2, 6_000_000)])]
const node = new LazyNode([small, large])
const layers = new UnpackedLayers({ dir, clock: systemClock, limitBytes: Number.POSITIVE_INFINITY })
const read = async (layer: UnpackedLayer) => await layer.read(0, layer.size, AbortSignal.timeout(20_000))

const first = await layers.open(specOf(node, small))
await read(first)
await first.close()
const layer = await layers.open(specOf(node, large))
const right: boolean[] = []
for (let i = 0; i < 2; i++) right.push(Buffer.compare(await read(layer), large.shown) === 0)
const asked = node.bytes
right.push(Buffer.compare(await read(layer), large.shown) === 0)
const askedAgain = node.bytes - asked
const told = () => layer.progress().errors.some((error) => /cannot be kept.*ENOSPC.*free some space/.test(error))
// Bytes are read before they are written, and what was written last finds the disk full.
await until('the disk is told to be full', 15, told)
console.log(
  JSON.stringify({
    right,
    askedAgain,
    evicted: layers.usage().layers === 1,
    told: told(),
    kept: layer.progress().here > 1_500_000,
    whole: layer.whole(),
  }),
)
await layers.close()
await node.stop()
