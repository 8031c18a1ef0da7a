/** Unpacked layers of a host, in a folder that goes with the test. */
import { afterEach } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '../../src/clock.ts'
import { UnpackedLayers, type UnpackedLayersOptions } from '../../src/mount/unpacked/layers.ts'
import type { LayerSpec } from '../../src/mount/unpacked-layer.ts'
import { repositoryOf } from '../../src/oci/reference.ts'
import { LazyNode, type SampleLayer } from './lazy-node.ts'

/** To be called once in a test file. */
export function unpackedHosts() {
  const ends: (() => unknown)[] = []
  afterEach(async () => {
    for (const end of ends.splice(0).reverse()) await end()
  })
  const newDir = () => {
    const dir = mkdtempSync(join(tmpdir(), 'shoal-unpacked-'))
    ends.push(() => rmSync(dir, { recursive: true, force: true }))
    return dir
  }
  return {
    newDir,
    newNode(...samples: SampleLayer[]): LazyNode {
      const node = new LazyNode(samples)
      ends.push(() => node.stop())
      return node
    },
    newLayers(options: Partial<UnpackedLayersOptions> = {}): UnpackedLayers {
      const layers = new UnpackedLayers({
        dir: newDir(),
        clock: systemClock,
        limitBytes: Number.POSITIVE_INFINITY,
        ...options,
      })
      ends.push(() => layers.close())
      return layers
    },
  }
}

export function specOf(node: LazyNode, { index }: SampleLayer, prefetch = false): LayerSpec {
  return {
    node: { registry: node.registry },
    repository: repositoryOf('docker.io', 'library/sample'),
    digest: index.layer,
    mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
    compressedSize: index.compressedSize,
    diffId: index.diffId,
    prefetch,
  }
}
