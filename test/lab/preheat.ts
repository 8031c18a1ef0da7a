/** `shoal preheat` on a host of a lab, and the same over its node's API. */
import { type PreheatFacts, preheatSchema } from '../../src/admin/preheats.ts'
import { builtBinary, type LabNode } from './node.ts'
import type { Output } from './run.ts'

export function shoalPreheat(node: LabNode, ...args: string[]): Promise<Output> {
  return node.host!.tryExec([builtBinary, 'preheat', ...args])
}

/** Waits for its end. @throws unless every node has it */
export async function preheated(node: LabNode, ...args: string[]): Promise<PreheatFacts> {
  const { code, stdout, stderr } = await shoalPreheat(node, '--json', ...args)
  if (code !== 0) throw new Error(`shoal preheat ${args.join(' ')} ended with ${code}: ${stderr || stdout}`)
  return preheatSchema.parse(JSON.parse(stdout))
}

/** Does not wait. */
export function begunPreheat(node: LabNode, ...args: string[]): Promise<PreheatFacts> {
  return preheated(node, '--detach', ...args)
}

export async function preheatAt(node: LabNode, id: number): Promise<PreheatFacts> {
  return preheatSchema.parse(JSON.parse(await node.get(`/api/v1/preheats/${id}`)))
}
