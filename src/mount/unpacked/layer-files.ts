/** The files of a layer beside its data: the index, the tree that the kernel reads, and what is known of it. */
import { readFileSync } from 'node:fs'
import { rename, writeFile } from 'node:fs/promises'
import { decodeIndex } from '../../layer-index/decode.ts'
import type { LayerIndex } from '../../layer-index/layer-index.ts'
import { type Digest, digestOf } from '../../oci/digest.ts'
import type { LayerFolder } from './layer-folder.ts'
import { type LayerShape, shapeOf } from './layer-shape.ts'
import { type LayerState, readState } from './state-file.ts'

/** What an earlier process left of a layer; undefined where it is not sound. */
export function leftIn(folder: LayerFolder, digest: Digest): { state: LayerState; shape: LayerShape } | undefined {
  const state = readState(folder.state)
  const index = state && readIndex(folder, state.facts.index)
  if (!state || !index || index.layer !== digest || index.chunks.count !== state.facts.chunks) return undefined
  return { state, shape: shapeOf(index, state.facts.index as Digest, state.facts.reason) }
}

/** Undefined for what is not as it was written. */
export function readIndex(folder: LayerFolder, digest: string): LayerIndex | undefined {
  try {
    const bytes = readFileSync(folder.index)
    return digestOf(bytes) === digest ? decodeIndex(bytes) : undefined
  } catch {
    return undefined
  }
}

export function hasBytes(path: string, bytes: Uint8Array): boolean {
  try {
    return Buffer.compare(readFileSync(path), bytes) === 0
  } catch {
    return false
  }
}

export async function put(path: string, bytes: Uint8Array): Promise<void> {
  await writeFile(`${path}.new`, bytes, { mode: 0o600 })
  await rename(`${path}.new`, path)
}
