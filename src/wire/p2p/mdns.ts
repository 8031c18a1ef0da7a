/**
 * Finds nodes of the same cluster on the local network: everyone asks the multicast group for the service's name, and
 * everyone answers with its peer id and libp2p addresses.
 *
 * An answer goes to all, and all hundred nodes of a rack may start, and ask, at once. So, as RFC 6762 wants it: a node
 * answers once a second at most (6), tells of itself when it starts (8.3), asks less and less often (5.2), and not when
 * another has just asked the same, for it hears those answers too (7.3).
 *
 * It goes beside libp2p's own, which sends by the default route, so it finds nothing on a host without one or on another
 * interface, and keeps quiet about addresses that are not private. Here the queries go out of the interface that the node
 * is reached at. Whoever hears of a node twice does nothing the second time.
 */
import { networkInterfaces } from 'node:os'
import multicastDns from 'multicast-dns'
import type { Clock, Random } from '../../clock.ts'
import type { ClusterKey } from '../../cluster/cluster-key.ts'
import { type NodeId, nodeIdSchema } from '../../cluster/node-info.ts'
import { isIPv4 } from '../../listen.ts'
import type { Log } from '../../telemetry/log.ts'

export interface Found {
  readonly id: NodeId
  /** Multiaddrs, without the peer id. */
  readonly addresses: readonly string[]
}

export interface DiscoveryOptions {
  readonly self: Found
  /** The host that this node advertises. */
  readonly advertise: string
  readonly clusterKey: ClusterKey | undefined
  readonly found: (node: Found) => void
  /** Somebody tells of a node with this one's id at these addresses: itself, mostly. */
  readonly own: (addresses: readonly string[]) => void
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
}

/**
 * In ms. The second query comes so long after the first, for its answers may get lost; each later one twice as late, and
 * all by up to `spread` times that later, so that one node asks for all.
 */
const waits = { first: 1_000, longest: 60_000, spread: 0.5 } as const
/** Answers are so far apart at least, and come this much late, so that those of many nodes do not collide. */
const betweenAnswers = 1_000
const answerDelay = { least: 20, spread: 100 } as const
const ttl = 120
const mostAddresses = 8

/** @returns what ends it */
export function discover(options: DiscoveryOptions): () => void {
  const { self, clock, random, log } = options
  const service = serviceTag(options.clusterKey, 'node')
  const instance = `${self.id.slice(-16)}.${service}`
  const mdns = multicastDns(socketOptions(options.advertise))
  const own = { name: service, type: 'PTR', ttl, data: instance } as const
  const pacer = new Pacer(clock, random, () => {
    mdns.respond([
      own,
      {
        name: instance,
        type: 'TXT',
        ttl,
        data: [`id=${self.id}`, ...self.addresses.map((address) => `at=${address}`)],
      },
    ])
  })

  // A warning comes with every packet that cannot be sent or read: a network that is down is not worth more than this.
  mdns.on('warning', (error: Error) => log.debug('mDNS', { error: error.message }))
  mdns.on('error', (error: Error) => {
    log.warn('nodes on the local network cannot be discovered; name some with --join', { error: error.message })
  })
  // What it knows already (7.1) tells its own queries, which come back to it, from those of others.
  const querier = new Querier(clock, random, () =>
    mdns.query({ questions: [{ name: service, type: 'PTR' }], answers: [own] }),
  )
  mdns.on('query', (packet) => {
    if (!packet.questions?.some((question) => question.name === service)) return
    pacer.asked()
    if (!packet.answers?.some((answer) => answer.type === 'PTR' && answer.data === instance)) querier.heard()
  })
  mdns.on('response', ({ answers = [], additionals = [] }) => hear([...answers, ...additionals], service, options))

  pacer.asked()
  querier.start()
  return () => {
    querier.close()
    pacer.close()
    mdns.destroy()
  }
}

/** Tells of the nodes of a service that an answer is about. */
export function hear(
  answers: NonNullable<multicastDns.ResponsePacket['answers']>,
  service: string,
  { self, found, own }: Pick<DiscoveryOptions, 'self' | 'found' | 'own'>,
): void {
  for (const answer of answers) {
    if (answer.type !== 'TXT' || !answer.name.endsWith(`.${service}`)) continue
    const node = parseRecord([answer.data].flat().map(String))
    if (node?.id === self.id) own(node.addresses)
    else if (node) found(node)
  }
}

/** Answers a moment after it was asked, and all that is asked meanwhile or soon after with one answer. */
export class Pacer {
  readonly #clock: Clock
  readonly #random: Random
  readonly #answer: () => void
  #answeredAt = Number.NEGATIVE_INFINITY
  #cancel: (() => void) | undefined

  constructor(clock: Clock, random: Random, answer: () => void) {
    this.#clock = clock
    this.#random = random
    this.#answer = answer
  }

  asked(): void {
    if (this.#cancel) return
    const rest = Math.max(0, this.#answeredAt + betweenAnswers - this.#clock.now())
    this.#cancel = this.#clock.after(rest + answerDelay.least + answerDelay.spread * this.#random(), () => {
      this.#cancel = undefined
      this.#answeredAt = this.#clock.now()
      this.#answer()
    })
  }

  close(): void {
    this.#cancel?.()
    // Asked once more, it does not answer.
    this.#cancel = () => {}
  }
}

/** Asks at once, and then when nobody has asked for long enough, which is longer each time. */
export class Querier {
  readonly #clock: Clock
  readonly #random: Random
  readonly #ask: () => void
  #wait: number = waits.first
  #askedAt = Number.NEGATIVE_INFINITY
  #cancel = () => {}

  constructor(clock: Clock, random: Random, ask: () => void) {
    this.#clock = clock
    this.#random = random
    this.#ask = ask
  }

  start(): void {
    this.#ask()
    this.#asked(waits.first)
  }

  /** Another node asked: that does for this one's next query, unless it was asked only just now. */
  heard(): void {
    if (this.#clock.now() - this.#askedAt >= this.#wait / 2) this.#asked(this.#longer)
  }

  close(): void {
    this.#cancel()
    this.#askedAt = Number.POSITIVE_INFINITY
  }

  get #longer(): number {
    return Math.min(waits.longest, 2 * this.#wait)
  }

  #asked(wait: number): void {
    this.#cancel()
    this.#askedAt = this.#clock.now()
    this.#wait = wait
    this.#cancel = this.#clock.after(wait * (1 + waits.spread * this.#random()), () => {
      this.#ask()
      this.#asked(this.#longer)
    })
  }
}

/** Clusters with different keys on one network do not hear each other. */
export function serviceTag(key: ClusterKey | undefined, kind: 'node' | 'libp2p'): string {
  return `_shoal-${kind}-${key?.fingerprint ?? 'open'}._udp.local`
}

/** An address that no interface has (a translated one, say) names no interface to send from: the kernel then chooses. */
function socketOptions(advertise: string): multicastDns.Options {
  const own = Object.values(networkInterfaces()).some((infos) => infos?.some((info) => info.address === advertise))
  // Bound to the wildcard, for a socket bound to its interface's address receives no multicast.
  return own && isIPv4(advertise) ? { interface: advertise, bind: '0.0.0.0' } : {}
}

/** `undefined` for a record that names no node. */
export function parseRecord(texts: readonly string[]): Found | undefined {
  const valuesOf = (key: string) => texts.filter((text) => text.startsWith(`${key}=`)).map((text) => text.slice(3))
  const id = nodeIdSchema.safeParse(valuesOf('id')[0])
  const addresses = valuesOf('at').slice(0, mostAddresses)
  return id.success && addresses.length > 0 ? { id: id.data, addresses } : undefined
}
