/** Nodes in front of engines: one on each host, which know each other before the first pull. */
import type { Host } from '../host.ts'
import { LabNode } from '../node.ts'
import { until } from '../until.ts'

export async function startNodes(hosts: readonly Host[], flags: readonly string[]): Promise<LabNode[]> {
  const nodes = hosts.map((host) => new LabNode({ host, flags }))
  for (const node of nodes) await node.ready()
  await until('the nodes know each other', 20, async () =>
    (await Promise.all(nodes.map((node) => node.members()))).every((count) => count === nodes.length),
  )
  return nodes
}
