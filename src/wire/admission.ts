/**
 * Who may ask on the peer port. With a cluster key every request has a ticket, and every answer but a piece's bytes, which
 * have a digest, a seal; without one, whoever asks as a node does is let in and believed, and web pages are not. Refusals
 * are counted, and told to the operator now and then with their reason.
 */
import type { Clock } from '../clock.ts'
import { isNodeId, type NodeId } from '../cluster/node-info.ts'
import { type IncomingPass, Refusal, type Tickets } from '../cluster/tickets.ts'
import type { Log } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { Seldom } from '../telemetry/seldom.ts'
import { askerOf } from './pages.ts'
import { headers } from './rules.ts'

/** Who asks, and how it is answered. */
export interface Guest {
  /** Without a cluster key, only what it says of itself. */
  readonly sender: NodeId | undefined
  readonly pass: IncomingPass | undefined
}

/** @throws {Refusal} */
export type Admit = (request: Request) => Guest

export interface AdmissionOptions {
  /** Undefined in an open cluster. */
  readonly tickets: Tickets | undefined
  /** The host at which others are told to reach this node. */
  readonly advertised: string
  readonly clock: Clock
  readonly log: Log
  readonly metrics: Metrics | undefined
}

export class Admission {
  readonly #o: AdmissionOptions
  readonly #seldom: Seldom

  constructor(options: AdmissionOptions) {
    this.#o = options
    this.#seldom = new Seldom(options.clock)
  }

  /** @throws {Refusal} */
  admit(request: Request): Guest {
    const { tickets, advertised } = this.#o
    if (!tickets) return { sender: askerOf(request.headers, advertised), pass: undefined }
    const sender = request.headers.get(headers.node)
    const pass = tickets.check(request.headers.get(headers.ticket), sender, request.method, targetOf(request.url))
    // A ticket that is good has a sender.
    return { sender: sender ?? undefined, pass }
  }

  /** Somebody was turned away. */
  refused(refusal: Refusal, sender: string | null): void {
    const { log, metrics } = this.#o
    metrics?.peerRefused.inc({ reason: refusal.reason })
    this.#seldom.tell(refusal.reason, (others) => {
      log.warn('a request on the peer port was refused', {
        sender: isNodeId(sender) ? sender : 'unknown',
        reason: refusal.message,
        ...others,
      })
    })
  }
}

/** @throws {Refusal} when a member speaks for another */
export function speaksFor(guest: Guest, node: NodeId): void {
  if (guest.pass && guest.sender !== node) {
    throw new Refusal('other node', `node ${guest.sender} speaks for node ${node}`)
  }
}

/** Headers that prove an answer. */
export function sealed(guest: Guest | undefined, status: number, body: string): Record<string, string> {
  return guest?.pass ? { [headers.seal]: guest.pass.seal(status, body) } : {}
}

/** Path and query, as they stand in the request. */
function targetOf(url: string): string {
  return url.slice(url.indexOf('/', 'https://'.length))
}
