/**
 * One session over any socket that carries text. The same class on the dialling and on the accepting side: hello first,
 * then frames both ways; whoever is silent or says what it may not is cut off.
 */
import type { NodeCard, NodeId, Protocols } from '../cluster/node-info.ts'
import { Failure } from '../failure.ts'
import { type Frame, type FrameOf, hearFrame, maxFrameBytes } from './messages.ts'
import { common, spoken, tooFarApart } from './protocol.ts'
import { wireRules } from './rules.ts'
import type { Session } from './wire.ts'

/** A WebSocket of either side. */
export interface Pipe {
  send(text: string): void
  /** Bytes accepted by `send` that the kernel has not taken yet. */
  backlog(): number
  ping(): void
  /** Closes politely; the other side is told the reason. */
  close(code: number, reason: string): void
  /** Closes at once, for a peer that may be gone. */
  terminate(): void
}

export interface SessionEvents {
  /** The hello was right. False: the session is not wanted (a duplicate). */
  greeted(session: SocketSession): boolean
  frame(session: SocketSession, frame: Frame): void
  /** Also when it never got as far as hello. */
  closed(session: SocketSession, reason: string, greeted: boolean): void
}

type Phase = 'hello' | 'open' | 'closed'

export class SocketSession implements Session {
  /** True when this node opened the socket. */
  readonly dialled: boolean
  readonly #pipe: Pipe
  readonly #events: SessionEvents
  readonly #expected: NodeId | undefined
  readonly #hello: string
  #phase: Phase = 'hello'
  #peer: NodeCard | undefined
  #heardAt: number
  readonly #openedAt: number
  readonly #speaks: Protocols
  #protocol = 0

  constructor(
    pipe: Pipe,
    events: SessionEvents,
    options: { self: NodeCard; dialled: boolean; expected?: NodeId; now: number; speaks?: Protocols },
  ) {
    this.#pipe = pipe
    this.#events = events
    this.dialled = options.dialled
    this.#expected = options.expected
    this.#openedAt = this.#heardAt = options.now
    this.#speaks = options.speaks ?? spoken
    const { from, to } = this.#speaks
    const hello: Frame = { t: 'hello', node: options.self, protocol: from, ...(to > from ? { upTo: to } : {}) }
    this.#hello = JSON.stringify(hello)
    if (this.dialled) pipe.send(this.#hello)
  }

  /** Known once the session was greeted, and nobody gets to see it before. */
  get peer(): NodeCard {
    if (!this.#peer) throw new Failure('internal', 'a session has no peer before its hello')
    return this.#peer
  }

  /** The version of the protocol that both speak; 0 before the hello. */
  get protocol(): number {
    return this.#protocol
  }

  get open(): boolean {
    return this.#phase === 'open'
  }

  get backlog(): number {
    return this.#phase === 'closed' ? 0 : this.#pipe.backlog()
  }

  send(frame: Frame): void {
    if (this.#phase !== 'open') return
    this.#pipe.send(textOf(frame))
    if (this.#pipe.backlog() > wireRules.sessionBacklog) this.#abort('it does not read what it is sent')
  }

  close(reason: string): void {
    if (this.#phase === 'closed') return
    this.#pipe.close(1000, short(reason))
    this.ended(reason)
  }

  /** Text came in. */
  received(text: string, now: number): void {
    this.#heardAt = now
    if (this.#phase === 'closed') return
    let frame: Frame | undefined
    try {
      if (text.length > maxFrameBytes) throw new Failure('bad-request', 'a frame is longer than allowed')
      frame = hearFrame(text)
    } catch (error) {
      this.#reject(`it sent a wrong frame: ${(error as Error).message}`)
      return
    }
    if (this.#phase === 'open' && frame?.t !== 'hello') {
      // What a later release says beside what this one knows.
      if (frame) this.#events.frame(this, frame)
    } else if (this.#phase === 'hello' && frame?.t === 'hello') this.#greet(frame)
    else this.#reject(this.#phase === 'hello' ? 'it spoke before its hello' : 'it said hello twice')
  }

  /** Anything else came in: a ping, a pong. */
  alive(now: number): void {
    this.#heardAt = now
  }

  /** When the other side last said something, if only a pong. */
  get heardAt(): number {
    return this.#heardAt
  }

  /**
   * Gives the session up when the other side has been silent for too long. Pings it, unless it was heard a moment ago: a
   * ping tells both sides that the other lives, so it is enough when the same one of the two pings each time.
   */
  tick(now: number): void {
    if (this.#phase === 'closed') return
    if (this.#phase === 'hello' && now - this.#openedAt > wireRules.helloDeadline) this.#abort('it did not say hello')
    else if (now - this.#heardAt > wireRules.silentAfter) this.#abort('it fell silent')
    else if (now - this.#heardAt >= wireRules.pingEvery / 2) this.#pipe.ping()
  }

  /** The socket is gone. */
  ended(reason: string): void {
    if (this.#phase === 'closed') return
    const greeted = this.#phase === 'open'
    this.#phase = 'closed'
    this.#events.closed(this, reason, greeted)
  }

  #greet({ node, protocol, upTo = protocol }: FrameOf<'hello'>): void {
    const theirs = { from: protocol, to: upTo }
    const version = common(this.#speaks, theirs)
    if (version === undefined) {
      this.#reject(tooFarApart(this.#speaks, theirs) ?? 'another protocol')
      return
    }
    this.#protocol = version
    if (this.#expected !== undefined && node.id !== this.#expected) {
      this.#reject(`another node (${node.id}) answers at its address`)
      return
    }
    this.#peer = node
    if (this.#events.greeted(this)) return
    this.#pipe.close(4001, 'duplicate')
    this.ended('duplicate')
  }

  /** The events' `greeted` calls this when it takes the session, before it tells anyone. */
  admit(): void {
    if (this.#phase !== 'hello') return
    this.#phase = 'open'
    // The accepting side answers once it has decided, or the dialling one would take a refused session for open.
    if (!this.dialled) this.#pipe.send(this.#hello)
  }

  #reject(reason: string): void {
    this.#pipe.close(1008, short(reason))
    this.ended(reason)
  }

  #abort(reason: string): void {
    this.#pipe.terminate()
    this.ended(reason)
  }
}

/** A socket throws at a reason of more than 123 bytes, and one may have words of the other side in it, in any script. */
function short(reason: string): string {
  // `stream` leaves out a character that is cut in two.
  return new TextDecoder().decode(new TextEncoder().encode(reason).subarray(0, 100), { stream: true })
}

/** What is new goes to many sessions, one after the other: the same frame is put into words once. */
let last: { frame: Frame; text: string } | undefined

function textOf(frame: Frame): string {
  if (last?.frame !== frame) last = { frame, text: JSON.stringify(frame) }
  return last.text
}
