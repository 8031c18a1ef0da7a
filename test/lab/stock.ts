/** A registry on a lab's host `registry` that has one image, and nothing left of what it was made from. */
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { pushImage, type Written, writeImage } from './image.ts'
import type { Lab } from './lab.ts'
import type { Layer } from './layers.ts'
import { LabRegistry } from './registry.ts'

export interface Stock {
  readonly registry: LabRegistry
  readonly image: Written
  readonly layers: readonly Layer[]
}

/** @param make writes the layers into a folder */
export async function stocked(
  lab: Lab,
  repository: string,
  tag: string,
  make: (folder: string) => Promise<readonly Layer[]>,
): Promise<Stock> {
  const host = lab.host('registry')
  const registry = await LabRegistry.start({ host, dir: join(host.dir, 'registry') })
  const folder = join(lab.dir, 'layers')
  mkdirSync(folder, { recursive: true })
  const layers = await make(folder)
  const image = writeImage(join(lab.dir, 'layout'), tag, { layers })
  await pushImage(image, '127.0.0.1:5000', repository, tag, { from: host })
  // The registry has it; three copies of a large one would crowd the disk's cache.
  for (const made of ['layers', 'layout']) rmSync(join(lab.dir, made), { recursive: true })
  return { registry, image, layers }
}
