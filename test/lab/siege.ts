/**
 * A cluster with a key, of real processes, and a host on the same network that does not belong to it: what that one gets
 * by asking, dialling, joining and listening. The short form is a test, the long one a soak.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { newClusterKey } from '../../src/cli/keygen.ts'
import { parseClusterKeys } from '../../src/cluster/cluster-key.ts'
import { allModes, Cluster } from './cluster.ts'
import type { Overheard } from './eavesdrop.ts'
import type { LabNode } from './node.ts'
import { guesses, type Tried } from './stranger.ts'
import { until } from './until.ts'

const script = (name: string) => join(import.meta.dir, name)
const listenSeconds = 8
/** Files that a node may have open after it all beyond those before: what members do meanwhile. */
const mostFiles = 16
/** A dozen reasons, each told a few times; there may be a hundred thousand tries. */
const mostLines = 80
const [member, other, outside] = ['host1', 'host2', 'host3'] as const

export interface Siege extends Tried {
  /** What multicast DNS tells everybody on the network. */
  readonly overheard: readonly Overheard[]
  /** Of the node that was tried, before and after. */
  readonly files: readonly [number, number]
  readonly memoryMiB: readonly [number, number]
  /** Lines that its log has about who was refused. */
  readonly lines: number
  /** What was otherwise than promised; nothing, if all is well. */
  readonly complaints: readonly string[]
}

/** @param flags of all nodes; @param tries of each kind */
export async function besiege(flags: readonly string[], tries: number): Promise<Siege> {
  const members = allModes(3).map((plan) => ({ ...plan, flags }))
  const cluster = await Cluster.create({ members, discovery: 'mdns', size: 8e6 })
  try {
    const complaints: string[] = []
    const must = (holds: boolean, what: string) => void (holds || complaints.push(what))
    const { lab, layer, image } = cluster
    const stranger = lab.host(outside)
    const [keyFile, oldFile] = [join(lab.dir, 'cluster.key'), join(lab.dir, 'old.key')]
    for (const file of [keyFile, oldFile]) await Bun.write(file, newClusterKey(), { mode: 0o600 })

    const listening = stranger.exec([
      ...[process.execPath, script('eavesdrop.ts')],
      ...[stranger.address, String(listenSeconds)],
    ])
    const nodes = [member, other].map((name) => cluster.launch(name, ['--cluster-key-file', keyFile]))
    await Promise.all(nodes.map((node) => node.ready()))
    await cluster.acquainted()
    for (const name of [member, other]) {
      must((await cluster.pull(name)).digest === image.digest, `a pull on ${name} brought something else`)
    }
    const sent = await cluster.total('shoal_source_bytes_total')
    must(sent < 1.5 * layer.size, `members do not share: the source sent ${sent} bytes`)
    const overheard = JSON.parse(await listening) as Overheard[]
    const { fingerprint } = parseClusterKeys(await Bun.file(keyFile).text(), keyFile)[0]!
    must(overheard.length > 0, 'nothing was heard of mDNS, though members found each other by it')
    for (const record of overheard) must(isHarmless(record, fingerprint), `mDNS told ${JSON.stringify(record)}`)

    const addresses = Array.from({ length: 8 }, (_, i) => `10.77.7.${240 + i}`)
    for (const address of addresses) await stranger.exec(['ip', 'address', 'add', `${address}/24`, 'dev', 'eth0'])
    const node = nodes[0]!
    const facts = JSON.parse(await node.get('/api/v1/node')) as { id: string; addresses: { peer: string } }
    const { pid } = node.process
    const before = vitals(pid)
    const tried = JSON.parse(
      await stranger.exec([
        ...[process.execPath, script('stranger.ts'), facts.addresses.peer, facts.id, keyFile],
        ...[layer.digest, node.p2p, String(tries), ...addresses],
      ]),
    ) as Tried
    complaints.push(...wrongIn(tried, tries, [facts.id, layer.digest, image.digest]))
    const asked = Object.keys(tried.kinds).filter((kind) => !kind.startsWith('by libp2p')).length
    const refused = await node.metric('shoal_peer_refused_total')
    must(refused === asked * tries + guesses.length, `${refused} requests were refused`)
    await until('connections of strangers are closed', 120, () => vitals(pid).files <= before.files + mostFiles).catch(
      ({ message }: Error) => complaints.push(message),
    )
    const after = vitals(pid)
    const lines = node.process
      .logged()
      .split('\n')
      .filter((line) => line.includes(' was refused')).length
    must(lines > 0 && lines <= mostLines, `${lines} lines in the log of a member are about strangers`)
    for (const port of [4880, 4883]) {
      const url = `http://${lab.host(member).address}:${port}/`
      const { code } = await stranger.tryExec(['curl', '--silent', '--max-time', '5', url])
      // curl(1): 7 is a connection that was refused.
      must(code === 7, `a stranger reaches port ${port} of a member: curl ended with ${code}`)
    }
    for (const [kind, more] of [
      ['without a key', []],
      ['with an old key', ['--cluster-key-file', oldFile]],
    ] as const) {
      const alone = await joins(cluster, more)
      must(alone === undefined, `a node ${kind} is not as promised: ${alone}`)
      must((await node.members()) === 2, `a node ${kind} is a member to others`)
    }
    must(
      nodes.every(({ process }) => process.running),
      'a member has ended',
    )
    must((await cluster.pull(member)).digest === image.digest, 'a member serves no more')
    return {
      ...tried,
      overheard,
      files: [before.files, after.files],
      memoryMiB: [before.memoryMiB, after.memoryMiB],
      lines,
      complaints,
    }
  } finally {
    await cluster.close()
  }
}

/** What is not as promised in what came of asking. */
function wrongIn({ kinds, member, said }: Tried, tries: number, secrets: readonly string[]): string[] {
  const { ping, piece, libp2p } = member
  const refused = ping !== 204 || piece !== 200 || libp2p !== true
  return [
    ...Object.entries(kinds)
      .filter(([, { tries: made, successes }]) => made !== tries || successes > 0)
      .map(([kind, { tries: made, successes }]) => `${kind}: ${successes} let in, of ${made} tries and not ${tries}`),
    ...(refused ? [`a member is refused too: ${JSON.stringify(member)}`] : []),
    ...said
      .filter((text) => !text.startsWith('401 ') || secrets.some((secret) => text.includes(secret)))
      .map((text) => `who is not let in is told ${text}`),
  ]
}

function vitals(pid: number): { files: number; memoryMiB: number } {
  const [, kB = '0'] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? []
  return { files: readdirSync(`/proc/${pid}/fd`).length, memoryMiB: Math.round(Number(kB) / 1024) }
}

/** A node outside, that hears mDNS and is told of a member besides. Undefined if it stays alone, else what was seen. */
async function joins(cluster: Cluster, flags: readonly string[]): Promise<string | undefined> {
  const seedList = ['--join', cluster.lab.host(member).address]
  const node: LabNode = cluster.launch(outside, [...seedList, ...flags])
  // The host's log has what ran there before, too.
  const past = node.process.logged().length
  const said = () => node.process.logged().slice(past)
  try {
    await node.ready()
    await until('it has tried', 30, () => said().includes('cannot reach a node of --join'))
    await Bun.sleep(3_000)
    const open = said().includes('the cluster is open')
    if (open === flags.includes('--cluster-key-file')) return `it says ${open ? '' : 'not '}that it is open`
    const { members } = JSON.parse(await node.get('/api/v1/members')) as { members: { self: boolean }[] }
    return members.every(({ self }) => self) ? undefined : JSON.stringify(members)
  } finally {
    await node.process.stop()
  }
}

/** Which nodes there are, where, and under which key's name: no more. */
function isHarmless({ name, type, data }: Overheard, fingerprint: string): boolean {
  if (!name.includes(fingerprint)) return false
  if (type !== 'TXT') return true
  // Ours; libp2p's has one address with the id in it.
  const node = String.raw`id=\w{52}|at=\/ip4\/[\d.]+\/tcp\/\d+|dnsaddr=\/ip4\/[\d.]+\/tcp\/\d+\/p2p\/\w{52}`
  return data.split(' ').every((word) => new RegExp(`^(?:${node})$`).test(word))
}
