/**
 * Somebody at a keyed node's peer port who should not be let in, and tries: without a ticket, with an old key's, with one
 * that was used, that is for another blob, for another node, for another body, or of another member. Each kind is tried as
 * often as asked; a try succeeds when the answer is anything but a refusal.
 *
 * usage: bun stranger.ts URL NODE KEYFILE DIGEST TRIES; prints one line of JSON, a {@link Tried}. It holds the key, for it
 * has to make tickets that are nearly right, and one that is: were that refused too, refusals would mean nothing.
 */
import { systemClock } from '../../src/clock.ts'
import { ClusterKey, loadClusterKeys } from '../../src/cluster/cluster-key.ts'
import { Identity } from '../../src/cluster/identity.ts'
import { KeyRing } from '../../src/cluster/key-ring.ts'
import { Tickets } from '../../src/cluster/tickets.ts'
import { headers, routes } from '../../src/wire/rules.ts'

export interface Target {
  /** Base of the peer port. */
  readonly url: string
  readonly node: string
  readonly key: ClusterKey
  /** Of a blob that the node holds. */
  readonly digest: string
}

export interface Tried {
  /** What a member's own request is answered: it shows that the tries could succeed. */
  readonly member: { readonly ping: number; readonly piece: number }
  readonly kinds: Record<string, { readonly tries: number; readonly successes: number; readonly answers: number[] }>
}

interface Ask {
  readonly method: 'GET' | 'POST'
  readonly target: string
  readonly headers: Record<string, string>
  readonly body?: string
}

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
  const calls = [routes.announce, routes.schedule, routes.resolve, routes.fetch]
  const callOf = (i: number) => calls[i % calls.length]!

  const used = made(mine, routes.ping)
  await ask(target.url, get(routes.ping, used))
  const kinds: Record<string, (i: number) => Ask> = {
    'without a ticket': (i) => get(pathOf(i), { [headers.node]: self.id }),
    'without a ticket, with a body': (i) => post(callOf(i), { [headers.node]: self.id }, body),
    'with an old key': (i) => get(pathOf(i), made(outdated, pathOf(i))),
    'with an old key under the name of the new': (i) => {
      const { text } = outdated.make(target.node, 'GET', pathOf(i))
      return get(pathOf(i), introduced(text.replace(old.fingerprint, target.key.fingerprint)))
    },
    'with a ticket that was used': () => get(routes.ping, used),
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
  const results: Tried['kinds'] = {}
  for (const [kind, make] of Object.entries(kinds)) {
    const answers: number[] = []
    let next = 0
    const worker = async () => {
      while (next < tries) answers.push(await ask(target.url, make(next++)))
    }
    await Promise.all(Array.from({ length: atOnce }, worker))
    const successes = answers.filter((status) => status !== 401).length
    results[kind] = { tries: answers.length, successes, answers: [...new Set(answers)] }
  }
  const member = {
    ping: await ask(target.url, get(routes.ping, made(mine, routes.ping))),
    piece: await ask(target.url, get(piece, made(mine, piece))),
  }
  return { member, kinds: results }
}

async function ask(url: string, { target, ...request }: Ask): Promise<number> {
  // The certificate of an encrypting node is not the stranger's concern.
  const response = await fetch(`${url}${target}`, { ...request, tls: { rejectUnauthorized: false } })
  await response.arrayBuffer()
  return response.status
}

if (import.meta.main) {
  const [url = '', node = '', keyFile = '', digest = '', tries = ''] = process.argv.slice(2)
  const key = loadClusterKeys(keyFile)[0]!
  console.log(JSON.stringify(await tryAll({ url, node, key, digest }, Number(tries))))
}
