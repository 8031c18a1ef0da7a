/**
 * Several nodes in one process, with real swarms and a real scheduler, and between them a network of promises and a
 * clock that is moved by hand: frames and answers take some ms, a piece takes `pieceMs` on its sender's link.
 */
import { Failure } from '../../src/failure.ts'
import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { repositoryOf } from '../../src/oci/reference.ts'
import type { Gate } from '../../src/rate.ts'
import type { Location } from '../../src/source/source.ts'
import type { Announce, Frame } from '../../src/wire/messages.ts'
import type { Outbound, PieceAnswer, PieceOnItsWay, Session, WantedPieces } from '../../src/wire/wire.ts'
import { bytesOf } from './bytes.ts'
import { FakeClock } from './clock.ts'
import { SwarmNode, type SwarmNodeOptions } from './swarm-node.ts'

export const pieceLength = 256 * 1024
const latencyMs = 1
const pieceMs = 10
/** How long it takes until a node that died is known to be dead. */
const deathMs = 1000

export interface NetworkInit {
  readonly seed?: number
  /** Nodes that hold every mode; node 0 is the scheduler of all in any case. */
  readonly nodes: number
  readonly options?: (index: number) => SwarmNodeOptions
}

export class SwarmNetwork {
  readonly clock = new FakeClock()
  readonly seed: number
  readonly nodes: SwarmNode[] = []
  /** Pieces that one node passed on to another while they came. */
  passedOn = 0
  readonly #sessions = new Map<string, FakeSession>()
  /** Nodes that are cut off from all others. */
  readonly #away = new Set<SwarmNode>()

  constructor({ nodes, seed = 1, options = () => ({}) }: NetworkInit) {
    this.seed = seed
    for (let i = 0; i < nodes; i++) {
      const modes: SwarmNodeOptions = i === 0 ? { modes: ['scheduler', 'seed', 'peer'] } : {}
      this.nodes.push(new SwarmNode(this, i, { ...modes, ...options(i) }))
    }
    for (const node of this.nodes) {
      for (const other of this.nodes) if (other !== node) node.membership.heard(other.membership.self, 0)
    }
  }

  /** A blob of so many pieces that every node's source has. */
  blob(pieces: number, seed = 1): { location: Location; bytes: Uint8Array<ArrayBuffer>; digest: Digest } {
    const bytes = bytesOf(pieces * pieceLength - 1000, seed)
    const digest = digestOf(bytes)
    for (const node of this.nodes) node.source.add(bytes)
    return { bytes, digest, location: { repository: repositoryOf('registry.test', 'org/app'), kind: 'blob', digest } }
  }

  /** Bytes that all sources together have sent. */
  get sourceBytes(): number {
    return this.nodes.reduce((sum, node) => sum + node.source.sent, 0)
  }

  node(id: string): SwarmNode {
    return this.nodes.find((node) => node.id === id)!
  }

  /** Lets time pass until the condition holds; false if it does not within the limit (virtual ms). */
  async until(condition: () => boolean, limit = 60_000): Promise<boolean> {
    for (const end = this.clock.now() + limit; !condition(); ) {
      if (this.clock.now() >= end) return false
      await this.clock.run(5)
    }
    return true
  }

  /** Stops for good, without a word; the others notice after a while. */
  die(node: SwarmNode): void {
    node.alive = false
    node.swarm.close('it died')
    this.clock.after(deathMs, () => this.#part(node, 'it died'))
  }

  /** Nothing gets from it to the others any more, or from them to it; both sides notice after a while. */
  cutOff(node: SwarmNode): void {
    this.#away.add(node)
    this.clock.after(deathMs, () => {
      if (this.#away.has(node)) this.#part(node, 'it does not answer')
    })
  }

  /** The end of that, of which nobody has heard yet. */
  reconnect(node: SwarmNode): void {
    this.#away.delete(node)
  }

  /** The end of that: both sides hear of each other. */
  bringBack(node: SwarmNode): void {
    this.reconnect(node)
    for (const other of this.nodes) {
      if (other === node || !this.reaches(node, other)) continue
      node.membership.heard(other.membership.self, this.clock.now())
      other.membership.heard(node.membership.self, this.clock.now())
    }
  }

  reaches(one: SwarmNode, other: SwarmNode): boolean {
    return one.alive && other.alive && !this.#away.has(one) && !this.#away.has(other)
  }

  #part(node: SwarmNode, reason: string): void {
    for (const session of [...this.#sessions.values()]) {
      if (session.local === node || session.remote === node) session.close('it fell silent')
    }
    for (const other of this.nodes) {
      if (other === node) continue
      other.membership.drop(node.id, this.clock.now(), reason)
      if (node.alive) node.membership.drop(other.id, this.clock.now(), reason)
    }
  }

  close(): void {
    for (const node of this.nodes) node.swarm.close('the test is over')
  }

  /** Nobody but the node can make it, as far as the nodes are concerned. */
  sign(id: string, payload: Uint8Array): Uint8Array {
    return new Bun.CryptoHasher('sha256').update(`key of ${id}`).update(payload).digest() as Uint8Array
  }

  announce(node: SwarmNode, digests: readonly Digest[]): void {
    const [scheduler] = this.nodes
    if (node !== scheduler && !this.reaches(node, scheduler!)) return
    const held = digests.flatMap((digest) => node.store.find(digest) ?? [])
    const announce: Announce = {
      node: node.membership.self,
      uploads: node.seeder.uploads,
      uploadSlots: node.seeder.uploadSlots,
      full: false,
      holdings: held.map(({ digest, size, have, complete }) => ({ digest, size, pieces: have.count, complete })),
      gone: digests.filter((digest) => !node.store.find(digest)),
      leaving: false,
    }
    scheduler!.hearAnnounce(JSON.stringify(announce))
  }

  outboundOf(self: SwarmNode): Outbound {
    const reach = async (id: string): Promise<SwarmNode> => {
      await this.#pause(latencyMs)
      const node = this.node(id)
      if (node === self ? node.alive : this.reaches(self, node)) return node
      await this.#pause(deathMs)
      throw new Failure('unavailable', `${id} does not answer`)
    }
    return {
      session: async ({ id }) => this.#session(self, await reach(id)),
      piece: async ({ id }, digest, wanted, signal, chosen, queued, came = () => {}) => {
        await pass(self.limit, digest, wanted, signal, queued)
        const parent = await reach(id)
        const coming = wanted.coming && (await parent.seeder.passOn(digest, wanted, self.id, signal))
        if (coming) return this.#passedOn(self, parent, coming, signal, chosen, came)
        const offer = await parent.seeder.offer(digest, wanted, self.id, signal)
        const blob = parent.store.find(digest)!
        const bytes = await blob.read({ start: offer.start, end: offer.end })
        await this.#pause(latencyMs)
        chosen(offer.piece)
        const sent = parent.forge(offer.piece, bytes)
        await this.#pause(pieceMs / 2)
        came(sent, Math.floor(sent.length / 2))
        await this.#pause(pieceMs / 2)
        const broken = !this.reaches(self, parent) || signal.aborted
        offer.done(!broken)
        if (signal.aborted) throw new Failure('cancelled', 'given up while it was fetched')
        if (broken) throw new Failure('unavailable', `${id} broke off`)
        came(sent, sent.length)
        return { piece: offer.piece, bytes: sent }
      },
      schedule: async ({ id }, request) => (await reach(id)).hearSchedule(JSON.stringify(request)),
      order: async ({ id }, { location, part, size }) => (await reach(id)).swarm.order(location, part, size),
      announce: () => Promise.reject(new Failure('internal', 'nodes announce by themselves here')),
      resolve: () => Promise.reject(new Failure('internal', 'there are no tags here')),
      call: () => Promise.reject(new Failure('internal', 'no part of a node answers here')),
      ping: async ({ id }) => {
        await reach(id)
        return latencyMs
      },
    }
  }

  async #passedOn(
    self: SwarmNode,
    parent: SwarmNode,
    { piece, length, body }: PieceOnItsWay,
    signal: AbortSignal,
    chosen: (piece: number) => void,
    came: (bytes: Uint8Array, upTo: number) => void,
  ): Promise<PieceAnswer> {
    chosen(piece)
    const bytes = new Uint8Array(length)
    let here = 0
    const parts = body.getReader()
    const aborted = new Promise<{ value: undefined }>((resolve) => {
      signal.addEventListener('abort', () => resolve({ value: undefined }), { once: true })
    })
    for (;;) {
      const { value } = await Promise.race([parts.read(), aborted])
      await this.#pause(latencyMs)
      if (signal.aborted || !this.reaches(self, parent)) {
        await parts.cancel()
        throw new Failure(signal.aborted ? 'cancelled' : 'unavailable', 'it broke off')
      }
      if (!value) break
      bytes.set(value, here)
      here += value.length
      came(bytes, here)
    }
    if (here < length) throw new Failure('unavailable', `${parent.id} has ${here} of ${length} bytes of a piece`)
    this.passedOn++
    return { piece, bytes }
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => this.clock.after(ms, resolve))
  }

  #session(local: SwarmNode, remote: SwarmNode): Session {
    const known = this.#sessions.get(`${local.id} ${remote.id}`)
    if (known?.open) return known
    const here = new FakeSession(this, local, remote)
    const there = new FakeSession(this, remote, local)
    here.other = there
    there.other = here
    this.#sessions.set(`${local.id} ${remote.id}`, here)
    this.#sessions.set(`${remote.id} ${local.id}`, there)
    return here
  }
}

/** As a real node does before it asks: nobody gives back what was not moved. */
async function pass(
  limit: Gate | undefined,
  of: Digest,
  { bytes = pieceLength, background = false }: WantedPieces,
  signal: AbortSignal,
  queued: (waits: boolean) => void = () => {},
): Promise<void> {
  const waits = limit?.shut ?? false
  if (waits) queued(true)
  await limit?.enter(bytes, { of, background }, signal)
  if (waits) queued(false)
  limit?.leave()
}

/** One end of a session between two nodes. */
class FakeSession implements Session {
  readonly peer
  readonly backlog = 0
  open = true
  other: FakeSession | undefined

  constructor(
    readonly network: SwarmNetwork,
    readonly local: SwarmNode,
    readonly remote: SwarmNode,
  ) {
    const { id, url, zone } = remote.membership.self
    this.peer = { id, url, ...(zone ? { zone } : {}) }
  }

  send(frame: Frame): void {
    if (!this.open || !this.local.alive || (this.local.mute && frame.t === 'meta')) return
    // As the wire does: nothing that the other side changes later.
    const copy = structuredClone(frame)
    this.network.clock.after(latencyMs, () => {
      const { other } = this
      if (other?.open && this.network.reaches(this.local, other.local)) other.local.swarm.frame(other, copy)
    })
  }

  close(reason: string): void {
    if (!this.open) return
    this.open = false
    if (this.local.alive) this.local.swarm.closed(this, reason)
    this.network.clock.after(latencyMs, () => this.other?.close(reason))
  }
}
