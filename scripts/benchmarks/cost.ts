/** CPU-seconds that a GB costs a node: to receive from another node, to send to one, to stream to the engine. */
import { join } from 'node:path'
import { hexOf } from '../../src/oci/digest.ts'
import type { Admission } from '../../test/lab/admission.ts'
import type { Layer } from '../../test/lab/layers.ts'
import type { LabNode } from '../../test/lab/node.ts'
import { run } from '../../test/lab/run.ts'
import { until } from '../../test/lab/until.ts'
import { HostStage } from './host-stage.ts'
import { leastOfMoving, obstacle } from './least.ts'
import { cpuSeconds } from './machine.ts'
import type { Figure, Scenario } from './scenario.ts'

const MB = 1_000_000
/** After the first and the one whose pieces are hashed: the last of them is the fifth. */
const laterRounds = 3

const costWith = (name: string, admission: Admission, title: string): Scenario => ({
  name,
  title,
  against: 'a GB',
  shape: { hosts: 2, rate: undefined, size: 1000 * MB, layers: 1 },
  quick: { size: 100 * MB },
  async run({ shape, seed, say }) {
    const stage = await HostStage.create([shape.size], 2, seed, admission)
    try {
      const GB = stage.bytes / 1e9
      const [sender, receiver] = [stage.node(0), stage.node(1)]
      const fed = await spent([sender], () => stage.stream('node', 0))
      await settled(sender.process.pid)
      await settled(receiver.process.pid)
      const [layer] = stage.layers
      const fetched = async () => {
        // Whoever reads the first byte starts the transfer, and costs nothing more.
        const first = ['curl', '--silent', '--fail', '--range', '0-0', '--output', '/dev/null']
        await stage.lab.host('h2').exec([...first, stage.url(layer!, 'node', 1)])
        await until('the layer has arrived', 120, async () => (await stage.held(1)) === stage.bytes, 20)
      }
      const [sent = 0, received = 0] = await spent([sender, receiver], fetched)
      const fromPeers = await receiver.metric('shoal_peer_received_bytes_total')
      if (fromPeers < stage.bytes * 0.9) throw new Error(`only ${fromPeers} of ${stage.bytes} bytes came from the node`)
      await settled(receiver.process.pid)
      const [streamed = 0] = await spent([receiver], () => stage.stream('node', 1))
      // Whatever is in a file that somebody has touched, nobody has seen.
      await touched(receiver, layer!)
      const [lookedAt = 0] = await spent([receiver], () => stage.stream('node', 1))
      await stage.cold(1)
      await touched(sender, layer!)
      await settled(sender.process.pid)
      const [sentAfterLook = 0, receivedAgain = 0] = await spent([sender, receiver], fetched)
      // The first time much of it is that the code is compiled; a node sends for months.
      let later: number[] = []
      for (let round = 0; round < laterRounds; round++) {
        await stage.cold(1)
        for (const { process } of [sender, receiver]) await settled(process.pid)
        later = await spent([sender, receiver], fetched)
      }
      const least = await leastOf(stage, layer!)
      say(`cold, from the registry to the store and the engine: ${(fed[0]! / GB).toFixed(2)}`)
      const figure = (name: string, seconds: number, atMost?: number): Figure => ({
        name,
        value: seconds / GB,
        unit: 'CPU-seconds per GB',
        // What was wanted is a node by itself; what a key and TLS add is for its reader to weigh.
        ...(admission === 'open' && atMost !== undefined ? { reach: { atMost } } : {}),
      })
      return [
        figure('received, verified and stored', received, 2.2),
        figure('sent to a peer', sent, 1),
        figure('streamed to the engine', streamed, 1),
        figure('sent to a peer, the fifth time', later[0]!, 1),
        figure('received, the fifth time', later[1]!),
        figure('received once more', receivedAgain),
        figure('sent, each piece hashed first', sentAfterLook),
        figure('streamed, each piece hashed first', lookedAt),
        ...(least
          ? [
              figure('received, by the kernel and SHA-256 alone', least.received),
              figure('sent, by the kernel alone', least.sent),
            ]
          : []),
      ]
    } finally {
      await stage.close()
    }
  },
})

const way = 'one layer from one node to another, then to the engine beside that one'

/** Tickets are for requests, not for bytes; what TLS takes, it takes of every byte. */
export const costs: readonly Scenario[] = [
  costWith('cost', 'open', way),
  costWith('cost-keyed', 'keyed', `${way}, in a cluster with a key`),
  costWith('cost-encrypted', 'keyed and encrypted', `${way}, in a cluster with a key and --encrypt`),
]

/** As after a restart, or a while: the pieces of the layer are hashed before they are given to anybody. */
async function touched(node: LabNode, layer: Layer): Promise<void> {
  await run(['touch', fileOf(node, layer)])
}

/** The same bytes from the same file to another on the other host, by who does nothing else; undefined where that cannot run. */
async function leastOf(stage: HostStage, layer: Layer) {
  if ((await obstacle()) !== undefined) return undefined
  const hosts = { from: stage.lab.host('h1'), to: stage.lab.host('h2') }
  return leastOfMoving(hosts, fileOf(stage.node(0), layer), layer.size)
}

function fileOf({ dataDir }: LabNode, { digest }: Layer): string {
  const hex = hexOf(digest)
  return join(dataDir, 'blobs', 'sha256', hex.slice(0, 2), hex)
}

/** What each node took of the processors while something was done. */
async function spent(nodes: readonly { process: { pid: number } }[], what: () => Promise<unknown>): Promise<number[]> {
  const before = nodes.map(({ process }) => cpuSeconds(process.pid))
  await what()
  return nodes.map(({ process }, i) => cpuSeconds(process.pid) - before[i]!)
}

/** Waits until a node is at rest: what it still has to do after a transfer is not the next one's cost. */
async function settled(pid: number): Promise<void> {
  let last = Number.NaN
  await until(
    'the node is at rest',
    30,
    () => {
      const now = cpuSeconds(pid)
      const quiet = now - last <= 0.03
      last = now
      return quiet
    },
    500,
  )
}
