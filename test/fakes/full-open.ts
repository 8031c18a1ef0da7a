/**
 * A process in a mount namespace of its own: opens layers on a disk at `argv[2]` that others of them have filled, which
 * nobody mounts any more, and prints as JSON what came of it. The disk is a tmpfs that ends with the process.
 */
import { strict as assert } from 'node:assert'
import { closeSync, openSync, rmSync, statfsSync, truncateSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { zstdCompressSync } from 'node:zlib'
import { systemClock } from '../../src/clock.ts'
import { UnpackedLayers } from '../../src/mount/unpacked/layers.ts'
import type { LayerSpec } from '../../src/mount/unpacked-layer.ts'
import { digestOf } from '../../src/oci/digest.ts'
import { LazyNode, type SampleLayer, sampleLayer, sampleTar, text } from './lazy-node.ts'
import { specOf } from './unpacked.ts'

const MiB = 2 ** 20
const [dir = ''] = process.argv.slice(2)
const mounted = Bun.spawnSync(['mount', '-t', 'tmpfs', '-o', 'size=120m', 'tmpfs', dir])
assert.equal(mounted.exitCode, 0, mounted.stderr.toString())

const ballast = join(dir, 'ballast')
/** So much is free from now on, and no layer has it. */
function leave(bytes: number): void {
  rmSync(ballast, { force: true })
  const fd = openSync(ballast, 'w')
  const { bavail, bsize } = statfsSync(dir)
  const block = new Uint8Array(bsize)
  for (let left = bavail * bsize - bytes; left > 0; left -= bsize) writeSync(fd, block)
  closeSync(fd)
}

/** Layers that nobody can make an index of. */
async function unindexedLayer(first: number) {
  const tar = await sampleTar([new Uint8Array(8 * MiB).fill(first)])
  const bytes = new Uint8Array(zstdCompressSync(tar))
  return { layer: { index: { layer: digestOf(bytes) }, bytes } as SampleLayer, diffId: digestOf(tar) }
}

const old = [sampleLayer([text(1, 20 * MiB)]), sampleLayer([text(2, 3 * MiB)]), sampleLayer([text(3, 3 * MiB)])]
const fresh = sampleLayer([text(4, 100_000)])
const unindexed = [await unindexedLayer(1), await unindexedLayer(2)]
const node = new LazyNode([...old, fresh, ...unindexed.map(({ layer }) => layer)])
const layers = new UnpackedLayers({ dir, clock: systemClock, limitBytes: Number.POSITIVE_INFINITY })
const wholeSpec = ({ layer, diffId }: (typeof unindexed)[number]): LayerSpec => ({
  ...specOf(node, fresh),
  digest: layer.index.layer,
  mediaType: 'application/vnd.oci.image.layer.v1.tar+zstd',
  compressedSize: layer.bytes.length,
  diffId,
})
const noIndex = () => Response.json({ errors: [{ code: 'UNSUPPORTED', message: 'one frame' }] }, { status: 404 })

/** Opens one and lets go of it. What came of it, and how many layers are here then. */
async function open(spec: LayerSpec): Promise<[string, number]> {
  try {
    const layer = await layers.open(spec)
    await layer.close()
    return ['open', layers.usage().layers]
  } catch (error) {
    return [(error as Error).message, layers.usage().layers]
  }
}

/** Reads all of one, and lets go of it. */
async function keep(sample: SampleLayer): Promise<void> {
  const layer = await layers.open(specOf(node, sample))
  await layer.read(0, layer.size, AbortSignal.timeout(20_000))
  await layer.close()
}

for (const sample of old.slice(1)) await keep(sample)
leave(0)
const indexed = await open(specOf(node, fresh))
// Of one that is here the tree has to be written once more; it does not go itself for that, though unused for longest.
await open(specOf(node, old[2]!))
truncateSync(join(dir, fresh.index.layer.slice(7), 'metadata.erofs'))
leave(0)
const known = await open(specOf(node, fresh))
leave(95 * MiB)
await keep(old[0]!)
// So that the other one has been unused for longer.
await open(specOf(node, fresh))
// Enough for it as it comes, and not for what it unpacks to.
leave(66 * MiB)
node.indexAnswers.push(noIndex())
const whole = await open(wholeSpec(unindexed[0]!))
leave(30 * MiB)
node.indexAnswers.push(noIndex())
const [refused] = await open(wholeSpec(unindexed[1]!))
console.log(JSON.stringify({ indexed, known, whole, refused: refused.replace(dir, 'DIR') }))
await layers.close()
await node.stop()
