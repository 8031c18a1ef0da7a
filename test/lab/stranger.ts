/**
 * Somebody at a keyed node's ports who should not be let in, and tries: without a ticket, with an old key's, with one
 * that was used, that is for another blob, for another node, for another body, or of another member; and by libp2p,
 * without a key and with an old one. Each kind is tried as often as asked; a try succeeds when the answer is anything but a
 * refusal.
 *
 * usage: bun stranger.ts URL NODE KEYFILE DIGEST P2P TRIES FROM...; prints one line of JSON, a {@link Tried}. It holds the key, for
 * it has to make tickets that are nearly right, and one that is: were that refused too, refusals would mean nothing.
 */
import { systemClock } from '../../src/clock.ts'
import { ClusterKey, loadClusterKeys } from '../../src/cluster/cluster-key.ts'
import { Identity } from '../../src/cluster/identity.ts'
import { KeyRing } from '../../src/cluster/key-ring.ts'
import { Tickets } from '../../src/cluster/tickets.ts'
import { callPath } from '../../src/wire/calls.ts'
import { headers, routes } from '../../src/wire/rules.ts'
import { type Kind, knock, knocks, nonceBytes, opening } from './knock.ts'

export interface Target {
  /** Base of the peer port. */
  readonly url: string
  readonly node: string
  readonly key: ClusterKey
  /** Of a blob that the node holds. */
  readonly digest: string
  /** `host:port` of libp2p; undefined: that is not tried. */
  readonly p2p?: string
  /** Own addresses to dial that from; one is slowed down by the node. */
  readonly from?: readonly string[]
}

export interface Tried {
  /** What a member's own request is answered: it shows that the tries could succeed. */
  readonly member: { readonly ping: number; readonly piece: number; readonly libp2p?: boolean }
  readonly kinds: Record<string, Kind>
  /** Every answer that anything got which was let in nowhere: status and body. */
  readonly said: readonly string[]
}

interface Ask {
  readonly method: string
  readonly target: string
  readonly headers: Record<string, string>
  readonly body?: string
}

/** What somebody would ask who wants to know what this port is. */
export const guesses: readonly Ask[] = ['/', '/v2/', '/healthz', '/metrics', '/api/v1/node', '/shoal/v1/nodes'].flatMap(
  (target) => ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS'].map((method) => ({ method, target, headers: {} })),
)

const ticketsOf = (identity: Identity, key: ClusterKey) =>
  new Tickets({
    self: identity.id,
    agree: (node) => identity.agree(node),
    ring: new KeyRing([key]),
    clock: systemClock,
    random: Math.random,
  })

export async function tryAll(target: Target, tries: number, atOnce = 16): Promise<Tried> {
  const [self, victim] = await Promise.all([Identity.temporary(), Identity.temporary()])
  const old = new ClusterKey(crypto.getRandomValues(new Uint8Array(32)))
  const [mine, outdated] = [ticketsOf(self, target.key), ticketsOf(self, old)]
  const piece = `/shoal/v1/blobs/${target.digest}/pieces/0`
  const other = `/shoal/v1/blobs/sha256:${'0'.repeat(64)}/pieces/0`
  const body = JSON.stringify({ location: {} })

  const introduced = (ticket: string, id = self.id) => ({ [headers.node]: id, [headers.ticket]: ticket })
  const made = (tickets: Tickets, path: string, node = target.node) => introduced(tickets.make(node, 'GET', path).text)
  const get = (path: string, given: Record<string, string>): Ask => ({ method: 'GET', target: path, headers: given })
  const post = (path: string, given: Record<string, string>, text: string): Ask => ({
    ...{ method: 'POST', target: path, headers: given, body: text },
  })
  const paths = [piece, routes.ping, routes.session]
  const pathOf = (i: number) => paths[i % paths.length]!
  const calls = [routes.announce, routes.schedule, routes.resolve, routes.fetch, callPath('vitals')]
  const callOf = (i: number) => calls[i % calls.length]!

  // Of a member that was listened to.
  const used = [routes.ping, piece].map((path) => get(path, made(mine, path)))
  for (const request of used) await ask(target.url, request)
  const kinds: Record<string, (i: number) => Ask> = {
    'without a ticket': (i) => get(pathOf(i), { [headers.node]: self.id }),
    'without a ticket, with a body': (i) => post(callOf(i), { [headers.node]: self.id }, body),
    'with an old key': (i) => get(pathOf(i), made(outdated, pathOf(i))),
    'with an old key under the name of the new': (i) => {
      const { text } = outdated.make(target.node, 'GET', pathOf(i))
      return get(pathOf(i), introduced(text.replace(old.fingerprint, target.key.fingerprint)))
    },
    'with a ticket that was used': (i) => used[i % used.length]!,
    'with a ticket for another blob': () => get(piece, made(mine, other)),
    'with a ticket for another node': (i) => get(pathOf(i), made(mine, pathOf(i), victim.id)),
    'with a ticket for another body': (i) => {
      const { text } = mine.make(target.node, 'POST', callOf(i), '{}')
      return post(callOf(i), introduced(text), body)
    },
    'in the name of another member': (i) => get(pathOf(i), { ...made(mine, pathOf(i)), [headers.node]: victim.id }),
    'with a ticket changed in one place': (i) => {
      const { text } = mine.make(target.node, 'GET', pathOf(i))
      const at = i % text.length
      const letter = text[at] === '1' ? '2' : '1'
      return get(pathOf(i), introduced(text.slice(0, at) + letter + text.slice(at + 1)))
    },
  }
  const results: Record<string, Kind> = {}
  const said = new Set<string>()
  for (const [kind, make] of Object.entries(kinds)) {
    const answers: number[] = []
    let next = 0
    const worker = async () => {
      while (next < tries) {
        const { status, text } = await ask(target.url, make(next++))
        answers.push(status)
        said.add(`${status} ${text}`)
      }
    }
    await Promise.all(Array.from({ length: atOnce }, worker))
    const successes = answers.filter((status) => status !== 401).length
    results[kind] = { tries: answers.length, successes, answers: [...new Set(answers)] }
  }
  for (const request of guesses) {
    const { status, text } = await ask(target.url, request)
    said.add(`${status} ${text}`)
  }
  const member = {
    ping: (await ask(target.url, get(routes.ping, made(mine, routes.ping)))).status,
    piece: (await ask(target.url, get(piece, made(mine, piece)))).status,
  }
  if (target.p2p === undefined) return { member, kinds: results, said: [...said] }
  const door = new URL(`tcp://${target.p2p}`)
  const at = { host: door.hostname, port: Number(door.port) }
  const doors = target.from ? target.from.map((localAddress) => ({ ...at, localAddress })) : [at]
  results['by libp2p, without a key'] = await knocks(doors, () => opening(undefined), tries)
  results['by libp2p, with an old key'] = await knocks(doors, () => opening(old.secret), tries)
  const { heard } = await knock(at, opening(target.key.secret))
  return { member: { ...member, libp2p: heard > nonceBytes }, kinds: results, said: [...said] }
}

async function ask(url: string, { target, ...request }: Ask): Promise<{ status: number; text: string }> {
  // The certificate of an encrypting node is not the stranger's concern.
  const response = await fetch(`${url}${target}`, { ...request, tls: { rejectUnauthorized: false } })
  return { status: response.status, text: await response.text() }
}

if (import.meta.main) {
  const [url = '', node = '', keyFile = '', digest = '', p2p = '', tries = '', ...from] = process.argv.slice(2)
  const key = loadClusterKeys(keyFile)[0]!
  console.log(JSON.stringify(await tryAll({ url, node, key, digest, p2p, from }, Number(tries))))
}
