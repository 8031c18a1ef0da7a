/**
 * What admits a request of one node at another: a header that only a holder of the cluster key could have made, and only
 * with the sender's own node key, for this receiver, this request and this moment.
 *
 *   1 <key> <gate> <run> <number> <time> <body> <mac>
 *
 * `key` names the cluster key; `run` and `number` say which of the sender's tickets for this receiver it is, so that
 * it counts once; `time` is in ms since 1970; `body` is the body's SHA-256, or `-`, so that a stranger's body need not be
 * read. The MAC covers all that, both nodes, the method and the target. Its key comes from the cluster key and from what
 * the two nodes' keys have in common: one member cannot speak for another, and a ticket is of no use at a third node. That
 * key costs a tenth of a millisecond to find, once; `gate`, the same in all tickets of a pair, shows for next to nothing
 * that the cluster key is known, so that strangers cannot have it found.
 */
import { hkdfSync, timingSafeEqual } from 'node:crypto'
import type { Clock, Random } from '../clock.ts'
import { Failure } from '../failure.ts'
import type { ClusterKey } from './cluster-key.ts'
import type { KeyRing } from './key-ring.ts'
import { isNodeId, type NodeId } from './node-info.ts'
import { TicketWindow } from './ticket-window.ts'

export const ticketRules = {
  /** Most that the two clocks may differ, and a request may be on its way, in ms. */
  clocks: 30_000,
  /** Nodes remembered; so many senders may be heard within a minute before new ones are refused. */
  nodes: 65_536,
  /** Starts of one node within a minute. */
  runs: 16,
} as const

export type RefusalReason =
  | 'missing'
  | 'malformed'
  | 'other key'
  | 'stranger'
  | 'forged'
  | 'clock'
  | 'before start'
  | 'replayed'
  | 'crowded'
  | 'other body'
  | 'other node'
  /** In an open cluster, where there are no tickets. */
  | 'web page'
  | 'other name'
  | 'nobody'

/** Why a request is not admitted. */
export class Refusal extends Failure {
  readonly reason: RefusalReason

  constructor(reason: RefusalReason, message: string) {
    super('not-admitted', message)
    this.reason = reason
  }
}

/** A request that was let in, or is on its way: the two ends agree on what answers it, and on the secret of a session. */
export interface Pass {
  /** Proves that an answer is to this request, and from its receiver. */
  seal(status: number, body: string): string
  /** 32 bytes that only the two nodes know, others for each request. */
  secret(): Uint8Array
}

export interface OutgoingPass extends Pass {
  /** The ticket. */
  readonly text: string
  sealed(status: number, body: string, seal: string | null): boolean
}

export interface IncomingPass extends Pass {
  /** @throws {Refusal} if that is not the body the ticket was made for */
  bring(body: string): void
}

interface Peer {
  /** What this node and that one have in common. */
  readonly shared: Uint8Array
  readonly macs: Map<string, Bun.CryptoHasher>
  /** `1 <key> <gate> <run>` of tickets for it, and the key. */
  head: { readonly key: string; readonly text: string } | undefined
  readonly run: string
  made: number
  /** By the sender's run. */
  readonly windows: Map<string, Run>
  usedAt: number
}

interface Run {
  readonly window: TicketWindow
  usedAt: number
  /** Time of the latest of its tickets. */
  latest: number
}

export interface TicketsOptions {
  readonly self: NodeId
  /** What this node and that one have in common; `undefined` for an id without a key. */
  readonly agree: (node: NodeId) => Uint8Array | undefined
  readonly ring: KeyRing
  readonly clock: Pick<Clock, 'now' | 'wall'>
  readonly random: Random
}

const pattern =
  /^(1 ([\da-f]{12}) ([\w+/]{16}) ([\da-z]{1,12}) ([\da-z]{1,10}) ([\da-z]{1,10}) (-|[\w+/]{43}=)) ([\w+/]{43}=)$/

export class Tickets {
  readonly #o: TicketsOptions
  readonly #peers = new Map<NodeId, Peer>()
  /** What was heard before it started, this process has forgotten. Not by the wall clock, which may be set back later. */
  readonly #startedAt: number
  #sweptAt = Number.NEGATIVE_INFINITY

  constructor(options: TicketsOptions) {
    this.#o = options
    this.#startedAt = options.clock.now()
    options.ring.onChange((gone) => {
      for (const { macs } of this.#peers.values()) for (const key of gone) macs.delete(key.fingerprint)
    })
  }

  /** @throws {Failure} `unavailable` for a node without a key, `too-many` */
  make(receiver: NodeId, method: string, target: string, body?: string): OutgoingPass {
    const { self, ring, clock } = this.#o
    const known = this.#peers.get(receiver)
    if (!known && !this.#room()) throw new Failure('too-many', 'too many nodes are spoken with')
    const peer = known ?? this.#meet(receiver)
    if (!peer) throw new Failure('unavailable', `${receiver} is not the id of a node`)
    peer.usedAt = clock.now()
    const key = ring.current
    if (peer.head?.key !== key.fingerprint) {
      const text = `1 ${key.fingerprint} ${gateOf(key, self, receiver)} ${peer.run}`
      peer.head = { key: key.fingerprint, text }
    }
    const hash = body === undefined ? '-' : hashOf(body)
    const said = `${peer.head.text} ${(++peer.made).toString(36)} ${clock.wall().toString(36)} ${hash}`
    const mac = macOf(peer, key)
    const sum = mac
      .copy()
      .update(words(said, self, receiver, method, target))
      .digest('base64')
    return {
      text: `${said} ${sum}`,
      seal: (status, answer) => sealOf(mac, sum, status, answer),
      sealed: (status, answer, seal) => seal !== null && same(seal, sealOf(mac, sum, status, answer)),
      secret: () => secretOf(mac, sum),
    }
  }

  /** @throws {Refusal} */
  check(text: string | null, sender: string | null, method: string, target: string): IncomingPass {
    const { self, ring, clock } = this.#o
    if (text === null) throw new Refusal('missing', 'this cluster has a key, and the request has no ticket')
    const [, said, name, gate, run, number, time, body, sum] = pattern.exec(text) ?? []
    if (said === undefined || !isNodeId(sender)) throw new Refusal('malformed', 'that is not a ticket')
    const key = ring.find(name!)
    if (!key) throw new Refusal('other key', 'the ticket was made with a key that does not admit here')
    const known = this.#peers.get(sender)
    if (!known && !same(gate!, gateOf(key, sender, self))) throw new Refusal('stranger', 'the ticket is not good')
    if (!known && !this.#room()) {
      throw new Refusal('crowded', `more than ${ticketRules.nodes} nodes were heard within a minute`)
    }
    const peer = known ?? this.#meet(sender)
    if (!peer) throw new Refusal('malformed', 'the ticket is of nobody')
    const mac = macOf(peer, key)
    const right = mac
      .copy()
      .update(words(said, sender, self, method, target))
      .digest('base64')
    if (!same(sum!, right)) throw new Refusal('forged', 'the ticket is not for this request, or not of that node')
    const at = Number.parseInt(time!, 36)
    this.#inTime(at)
    if (!this.#first(peer, run!, Number.parseInt(number!, 36), at)) {
      throw new Refusal('replayed', 'the ticket was used before')
    }
    peer.usedAt = clock.now()
    return {
      bring: (content) => {
        if (hashOf(content) !== body) throw new Refusal('other body', 'the ticket was made for another body')
      },
      seal: (status, answer) => sealOf(mac, sum!, status, answer),
      secret: () => secretOf(mac, sum!),
    }
  }

  #inTime(time: number): void {
    const { clock } = this.#o
    const wall = clock.wall()
    const ahead = time - wall
    if (Math.abs(ahead) > ticketRules.clocks) {
      const most = ticketRules.clocks / 1000
      const by = `${Math.round(Math.abs(ahead) / 1000)} s ${ahead > 0 ? 'ahead of' : 'behind'} this one`
      throw new Refusal('clock', `the sender's clock is ${by}, more than ${most} s; set both by NTP`)
    }
    const started = Math.floor(wall - (clock.now() - this.#startedAt))
    if (time < started) throw new Refusal('before start', 'the ticket is older than this process')
  }

  #first(peer: Peer, run: string, number: number, time: number): boolean {
    const now = this.#o.clock.now()
    let of = peer.windows.get(run)
    if (!of) {
      for (const [id, old] of peer.windows) if (this.#isPast(old)) peer.windows.delete(id)
      if (peer.windows.size >= ticketRules.runs) {
        throw new Refusal('crowded', 'this node started too often within a minute')
      }
      of = { window: new TicketWindow(), usedAt: now, latest: time }
      peer.windows.set(run, of)
    }
    of.usedAt = now
    of.latest = Math.max(of.latest, time)
    return of.window.take(number)
  }

  /** Who was not heard for so long that none of its tickets would be in time is forgotten when there is no room. */
  #room(): boolean {
    const now = this.#o.clock.now()
    if (this.#peers.size >= ticketRules.nodes && now - this.#sweptAt > 1_000) {
      this.#sweptAt = now
      for (const [id, { usedAt, windows }] of this.#peers) {
        if (isLong(usedAt, now) && windows.values().every((run) => this.#isPast(run))) this.#peers.delete(id)
      }
    }
    return this.#peers.size < ticketRules.nodes
  }

  /** A ticket of then would be refused for its time; where the clock was ahead then, that takes longer. */
  #isPast({ usedAt, latest }: Run): boolean {
    const { clock } = this.#o
    return isLong(usedAt, clock.now()) && clock.wall() - latest > ticketRules.clocks
  }

  #meet(node: NodeId): Peer | undefined {
    const { agree, random, clock } = this.#o
    const shared = agree(node)
    if (!shared) return undefined
    // Not the process's: a node that was forgotten begins to count anew.
    const run = Math.floor(random() * 36 ** 9).toString(36)
    const peer: Peer = {
      shared,
      macs: new Map(),
      head: undefined,
      run,
      made: 0,
      windows: new Map(),
      usedAt: clock.now(),
    }
    this.#peers.set(node, peer)
    return peer
  }
}

/** So much that a ticket of then would be refused for its time, if both clocks ran on. */
function isLong(usedAt: number, now: number): boolean {
  return now - usedAt > 2 * ticketRules.clocks
}

function words(said: string, sender: NodeId, receiver: NodeId, method: string, target: string): string {
  return `shoal ticket\n${said}\n${sender}\n${receiver}\n${method} ${target}`
}

function macOf(peer: Peer, key: ClusterKey): Bun.CryptoHasher {
  let mac = peer.macs.get(key.fingerprint)
  if (!mac) {
    mac = new Bun.CryptoHasher(
      'sha256',
      new Uint8Array(hkdfSync('sha256', peer.shared, key.secret, 'shoal tickets', 32)),
    )
    peer.macs.set(key.fingerprint, mac)
  }
  return mac
}

/** Of 96 bits: it keeps work from strangers, and admits nobody. */
function gateOf(key: ClusterKey, sender: NodeId, receiver: NodeId): string {
  const mac = new Bun.CryptoHasher('sha256', key.secret).update(`shoal gate\n${sender}\n${receiver}`)
  return mac.digest('base64').slice(0, 16)
}

function sealOf(mac: Bun.CryptoHasher, sum: string, status: number, body: string): string {
  return mac
    .copy()
    .update(`shoal answer\n${sum}\n${status}\n${hashOf(body)}`)
    .digest('base64')
}

function secretOf(mac: Bun.CryptoHasher, sum: string): Uint8Array {
  return new Uint8Array(mac.copy().update(`shoal session\n${sum}`).digest())
}

function hashOf(body: string): string {
  return Bun.SHA256.hash(body, 'base64')
}

/** Both are base64, so characters are bytes. */
function same(said: string, right: string): boolean {
  return said.length === right.length && timingSafeEqual(Buffer.from(said, 'latin1'), Buffer.from(right, 'latin1'))
}
