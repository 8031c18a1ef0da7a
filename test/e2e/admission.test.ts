/** Clusters with a key, of real processes: members pull as ever, also while the key is changed, and nobody else gets anything. */
import { afterEach, describe, expect, test } from 'bun:test'
import { copyFileSync } from 'node:fs'
import { join } from 'node:path'
import { newClusterKey } from '../../src/cli/keygen.ts'
import { allModes, Cluster } from '../lab/cluster.ts'
import { Lab } from '../lab/lab.ts'
import { builtBinary, type LabNode } from '../lab/node.ts'
import { run } from '../lab/run.ts'
import { besiege } from '../lab/siege.ts'
import { until } from '../lab/until.ts'

const obstacle = await Lab.obstacle()
if (obstacle) console.log(`skipped: clusters with a key: ${obstacle}`)

const tries = Number(process.env.STRANGER_TRIES ?? 200)

let cluster: Cluster | undefined
afterEach(async () => {
  await cluster?.close()
  cluster = undefined
})

/** Nodes on the first `count` hosts, all with the key in that file; one more host has none. */
async function keyed(count: number, more: readonly string[], size: number, rate?: string) {
  const members = allModes(count + 1).map((member) => ({ ...member, flags: more }))
  cluster = await Cluster.create({ members, discovery: 'join', size, ...(rate ? { rate } : {}) })
  const keyFile = join(cluster.lab.dir, 'cluster.key')
  await Bun.write(keyFile, newClusterKey())
  const names = members.slice(0, count).map(({ name }) => name)
  const nodes = names.map((name) => cluster!.launch(name, ['--cluster-key-file', keyFile]))
  await Promise.all(nodes.map((node) => node.ready()))
  await cluster.acquainted()
  return { cluster, keyFile, names, nodes, outsider: members[count]!.name }
}

interface Facts {
  readonly cluster: { readonly key?: string; readonly alsoAdmit?: readonly string[]; readonly encrypted?: boolean }
}
const factsOf = async (node: LabNode) => JSON.parse(await node.get('/api/v1/node')) as Facts

describe.skipIf(obstacle !== undefined)('a cluster with a key', () => {
  test.each([{ flags: [] }, { flags: ['--encrypt'] }])(
    'pulls with $flags from node to node, and a stranger gets nothing of it, however it tries',
    async ({ flags }) => {
      const { kinds, overheard, complaints } = await besiege(flags, tries)
      for (const [kind, { tries, successes }] of Object.entries(kinds)) {
        console.log(`${flags.join()} ${kind}: ${successes} of ${tries} tries let in`)
      }
      console.log(
        `mDNS tells everybody: ${overheard.map(({ name, type, data }) => `${name} ${type} ${data}`).join('; ')}`,
      )
      expect(complaints).toEqual([])
      expect(Object.values(kinds)).toHaveLength(12)
    },
    120_000 + 400 * tries,
  )

  test('changes its key in the middle of a pull, and nodes with the old one are out', async () => {
    const { cluster, keyFile, names, nodes, outsider } = await keyed(3, [], 60e6, '100mbit')
    const old = `${keyFile}.old`
    copyFileSync(keyFile, old)
    const pulls = Promise.all(names.map((name) => cluster.pull(name)))
    await until('a pull is under way', 20, async () => (await cluster.held('host2')) > 0, 20)
    const keys = [(await factsOf(nodes[0]!)).cluster.key]
    for (let step = 1; step <= 3; step++) {
      const said = await run([builtBinary, 'keygen', '--rotate', keyFile])
      expect(said).toStartWith(`step ${step} of 3`)
      // One hears it at once, the others when they look.
      nodes[0]!.process.signal('SIGHUP')
      const wanted = step === 3 ? 0 : 1
      const changed = async (node: LabNode) => {
        const { key, alsoAdmit = [] } = (await factsOf(node)).cluster
        return alsoAdmit.length === wanted && (step === 1 || key !== keys[0])
      }
      await until(`every node has taken step ${step}`, 60, async () =>
        (await Promise.all(nodes.map(changed))).every((taken) => taken),
      )
    }
    for (const { digest } of await pulls) expect(digest).toBe(cluster.image.digest)
    expect(await cluster.total('shoal_source_bytes_total')).toBeLessThan(1.5 * cluster.layer.size)
    await until('all are members again', 30, async () => (await nodes[0]!.members()) === 3)

    const late = cluster.launch(outsider, ['--cluster-key-file', old])
    await late.ready()
    await until('it was turned away', 30, () => late.process.logged().includes('cannot reach a node of --join'))
    expect([await late.members(), await nodes[0]!.members()]).toEqual([1, 3])
  }, 240_000)
})
