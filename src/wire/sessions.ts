/**
 * The sessions of this node, at most one per peer, whoever dialled. Two nodes that dial each other at the same time keep
 * the socket of the one with the smaller id; both sides come to that by themselves, before anyone is told of a session.
 */
import { type Clock, every } from '../clock.ts'
import type { NodeCard, NodeId } from '../cluster/node-info.ts'
import { Failure } from '../failure.ts'
import type { Log } from '../telemetry/log.ts'
import type { Frame } from './messages.ts'
import { wireRules } from './rules.ts'
import { type Pipe, type SessionEvents, SocketSession } from './session.ts'
import type { Session, SessionHandler } from './wire.ts'

/** Opens a socket to a node. Exactly one of the callbacks is called, once; the result gives up. */
export type Dial = (
  node: NodeCard,
  opened: (pipe: Pipe) => SocketSession,
  failed: (reason: string) => void,
) => () => void

interface Pending {
  readonly promise: Promise<Session>
  readonly resolve: (session: Session) => void
  readonly fail: (reason: string) => void
  /** The other side's socket was given way to: if it does not come, this one is dialled once more. */
  readonly wait: () => void
  readonly since: number
  session: SocketSession | undefined
}

export interface SessionsOptions {
  readonly self: NodeCard
  readonly handler: () => SessionHandler | undefined
  readonly dial: Dial
  /** When the node at the other end of an open session was last heard; told every few seconds. */
  readonly heard?: (node: NodeId, at: number) => void
  /** An open session has ended, for whatever reason. */
  readonly lost?: (node: NodeId) => void
  readonly clock: Clock
  readonly log: Log
}

export class Sessions implements SessionEvents {
  readonly #options: SessionsOptions
  readonly #all = new Map<SocketSession, number>()
  readonly #open = new Map<NodeId, SocketSession>()
  readonly #pending = new Map<NodeId, Pending>()
  readonly #stop: () => void
  #tickedAt: number
  #closed = false

  constructor(options: SessionsOptions) {
    this.#options = options
    this.#tickedAt = options.clock.now()
    this.#stop = every(options.clock, wireRules.pingEvery, () => this.#tick())
  }

  /** Sockets, greeted or not. */
  get size(): number {
    return this.#all.size
  }

  has(node: NodeId): boolean {
    return this.#open.has(node)
  }

  /** The open session with `node`, or a new one. @throws {Failure} `unavailable` */
  get(node: NodeCard): Promise<Session> {
    const open = this.#open.get(node.id)
    if (open) return Promise.resolve(open)
    return this.#pending.get(node.id)?.promise ?? this.#dial(node)
  }

  /** A socket that another node opened; `sender` if it has proven who it is. */
  accept(pipe: Pipe, sender?: NodeId): SocketSession {
    return this.#watch(pipe, false, sender)
  }

  /** Closes those there are; new ones may be opened at once. */
  closeAll(reason: string): void {
    for (const session of [...this.#all.keys()]) session.close(reason)
  }

  close(): void {
    this.#closed = true
    this.#stop()
    for (const pending of this.#pending.values()) pending.fail('this node stops')
    this.closeAll('this node stops')
  }

  greeted(session: SocketSession): boolean {
    const id = session.peer.id
    if (this.#closed || id === this.#options.self.id || !this.#prefers(session)) return false
    this.#open.get(id)?.close('replaced by a newer session')
    session.admit()
    this.#open.set(id, session)
    this.#options.log.debug('session opened', { node: id, dialled: session.dialled })
    this.#tell(session, (handler) => handler.opened(session))
    this.#pending.get(id)?.resolve(session)
    return true
  }

  frame(session: SocketSession, frame: Frame): void {
    this.#tell(session, (handler) => handler.frame(session, frame))
  }

  closed(session: SocketSession, reason: string, greeted: boolean): void {
    this.#all.delete(session)
    for (const pending of this.#pending.values()) {
      if (pending.session !== session) continue
      // A duplicate gives way to the other side's socket, which is on its way: its hello resolves the pending dial.
      if (reason === 'duplicate') pending.wait()
      else pending.fail(reason)
    }
    if (!greeted) return
    const id = session.peer.id
    if (this.#open.get(id) === session) {
      this.#open.delete(id)
      if (!this.#closed) this.#options.lost?.(id)
    }
    this.#options.log.debug('session closed', { node: id, reason })
    this.#tell(session, (handler) => handler.closed(session, reason))
  }

  #prefers(session: SocketSession): boolean {
    const id = session.peer.id
    const now = this.#options.clock.now()
    const smaller = this.#options.self.id < id
    const open = this.#open.get(id)
    if (open) {
      // An old session may be dead without our knowing: who dials anew knows better.
      const age = now - (this.#all.get(open) ?? 0)
      if (open.dialled === session.dialled || age > wireRules.dialDeadline) return true
      return session.dialled === smaller
    }
    const pending = this.#pending.get(id)
    return session.dialled || !smaller || !pending || now - pending.since > wireRules.dialTurn
  }

  #dial(node: NodeCard): Promise<Session> {
    if (this.#closed) return Promise.reject(new Failure('unavailable', 'this node stops'))
    const { promise, resolve, reject } = Promise.withResolvers<Session>()
    const { clock } = this.#options
    const settle = () => {
      cancelDeadline()
      cancelWait()
      if (this.#pending.get(node.id) === pending) this.#pending.delete(node.id)
    }
    const pending: Pending = {
      promise,
      session: undefined,
      since: clock.now(),
      wait: () => {
        pending.session = undefined
        cancelWait()
        cancelWait = clock.after(1.5 * wireRules.dialTurn, attempt)
      },
      resolve: (session) => {
        settle()
        if (session !== pending.session) giveUp()
        resolve(session)
      },
      fail: (reason) => {
        settle()
        giveUp()
        reject(new Failure('unavailable', `no session with node ${node.id} at ${node.url}: ${reason}`))
      },
    }
    this.#pending.set(node.id, pending)
    const cancelDeadline = clock.after(wireRules.dialDeadline, () => pending.fail('it did not answer'))
    let cancelWait = () => {}
    let giveUp = () => {}
    const attempt = () => {
      giveUp = this.#options.dial(
        node,
        (pipe) => {
          pending.session = this.#watch(pipe, true, node.id)
          return pending.session
        },
        (reason) => pending.fail(reason),
      )
    }
    attempt()
    return promise
  }

  #watch(pipe: Pipe, dialled: boolean, expected?: NodeId): SocketSession {
    const { self, clock } = this.#options
    const now = clock.now()
    const session = new SocketSession(pipe, this, { self, dialled, now, ...(expected && { expected }) })
    this.#all.set(session, now)
    return session
  }

  #tick(): void {
    const now = this.#options.clock.now()
    // When this process itself was stopped for a while, the silence was its own.
    const stopped = now - this.#tickedAt > 2 * wireRules.pingEvery
    this.#tickedAt = now
    for (const session of [...this.#all.keys()]) {
      if (stopped) session.alive(now)
      session.tick(now)
    }
    for (const [id, session] of this.#open) this.#options.heard?.(id, session.heardAt)
  }

  #tell(session: SocketSession, what: (handler: SessionHandler) => void): void {
    const handler = this.#options.handler()
    if (!handler) return
    try {
      what(handler)
    } catch (error) {
      this.#options.log.error('a session failed inside this node', { error })
      session.close('internal error')
    }
  }
}
