/** What this node asks of others, over HTTP. */
import type { z } from 'zod'
import type { Clock } from '../clock.ts'
import type { NodeCard, NodeInfo } from '../cluster/node-info.ts'
import type { OutgoingPass, Tickets } from '../cluster/tickets.ts'
import { Failure, type FailureCode, isFailureCode } from '../failure.ts'
import { parseJson } from '../json.ts'
import type { Meter } from '../meter.ts'
import type { Digest } from '../oci/digest.ts'
import { Gate } from '../rate.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { Traces } from '../telemetry/traces.ts'
import { type Call, callPath } from './calls.ts'
import { deadline } from './deadline.ts'
import type { Encryption } from './encryption.ts'
import {
  type Announce,
  type AnnounceReply,
  announceReplySchema,
  type FetchOrder,
  maxControlBytes,
  parse,
  type Resolve,
  type ResolveReply,
  resolveReplySchema,
  type Schedule,
  type ScheduleReply,
  scheduleReplySchema,
} from './messages.ts'
import { PieceClient } from './pieces/client.ts'
import { headers, routes, wireRules } from './rules.ts'
import type { Sessions } from './sessions.ts'
import type { Outbound, PieceAnswer, Session, WantedPieces } from './wire.ts'

export interface HttpWireOptions {
  readonly self: NodeInfo
  readonly sessions: Sessions
  /** Undefined in an open cluster. */
  readonly tickets: Tickets | undefined
  readonly encryption: Encryption
  /** Limit for pieces, in bytes per second. */
  readonly downloadRate: number | undefined
  readonly received: Meter | undefined
  /** What a node, or who is in its place, says of why it refuses this one. */
  readonly notAdmitted?: (node: NodeCard, why: string) => void
  readonly clock: Clock
  readonly metrics: Metrics | undefined
  readonly traces?: Pick<Traces, 'carried'> | undefined
}

export class HttpWire implements Outbound {
  readonly #options: HttpWireOptions
  // Connections of its own, never through a proxy: what HTTP_PROXY says is meant for sources.
  // Closed before the other side closes them, or a request might be sent into one that is just going away.
  readonly #http = new Bun.FetchSession({ proxy: false, keepAlive: { idleTimeout: wireRules.keepSeconds } })
  readonly #pieces: PieceClient

  constructor(options: HttpWireOptions) {
    this.#options = options
    const { downloadRate, received, clock, metrics, encryption } = options
    this.#pieces = new PieceClient({
      headers: (node, target) => introduce(options, node, 'GET', target).headers,
      encryption,
      gate: new Gate({ clock, bytesPerSecond: downloadRate, places: wireRules.piecesInFlight }),
      received,
      clock,
      metrics,
    })
  }

  session(node: NodeCard): Promise<Session> {
    return this.#options.sessions.get(node)
  }

  piece(
    node: NodeCard,
    digest: Digest,
    wanted: WantedPieces,
    signal: AbortSignal,
    chosen: (piece: number) => void,
    queued?: (waits: boolean) => void,
    came?: (bytes: Uint8Array, upTo: number) => void,
  ): Promise<PieceAnswer> {
    return this.#pieces.fetch(node, digest, wanted, signal, chosen, queued, came)
  }

  async schedule(node: NodeInfo, request: Schedule): Promise<ScheduleReply> {
    return this.#post(node, routes.schedule, request, scheduleReplySchema)
  }

  async announce(node: NodeInfo, announce: Announce): Promise<AnnounceReply> {
    return this.#post(node, routes.announce, announce, announceReplySchema)
  }

  async resolve(node: NodeInfo, request: Resolve): Promise<ResolveReply> {
    return this.#post(node, routes.resolve, request, resolveReplySchema)
  }

  async call<Q extends object, A extends object>(node: NodeInfo, call: Call<Q, A>, request: Q): Promise<A> {
    return this.#post(node, callPath(call.name), request, call.reply, call.deadlineMs)
  }

  async order(node: NodeInfo, order: FetchOrder): Promise<void> {
    await this.#call(node, routes.fetch, JSON.stringify(order))
  }

  async ping(node: NodeCard): Promise<number> {
    const start = this.#options.clock.now()
    const response = await this.#call(node, routes.ping, undefined, wireRules.pingDeadline)
    const id = response.headers.get(headers.node)
    if (id !== node.id) {
      throw new Failure('unavailable', `at ${node.url} there is ${id ? `node ${id}` : 'no node'}, not ${node.id}`)
    }
    return this.#options.clock.now() - start
  }

  close(): void {
    this.#pieces.close()
    this.#http.close()
  }

  async #post<T>(node: NodeCard, route: string, body: unknown, schema: z.ZodType<T>, ms?: number): Promise<T> {
    const { text } = await this.#call(node, route, JSON.stringify(body), ms)
    try {
      return parse(schema, parseJson(text))
    } catch (error) {
      const reason = (error as Error).message
      throw new Failure('unavailable', `${where(node, route)} answered nonsense: ${reason}`, { cause: error })
    }
  }

  /** @throws {Failure} the one the other node had, or `unavailable` */
  #call(
    node: NodeCard,
    route: string,
    body?: string,
    ms: number = wireRules.callDeadline,
  ): Promise<{ text: string; headers: Headers }> {
    const late = `${where(node, route)} did not answer within ${ms / 1000} s`
    const { clock, encryption } = this.#options
    return deadline(clock, ms, late, async (signal) => {
      const method = body === undefined ? 'GET' : 'POST'
      const { headers: introduction, pass } = introduce(this.#options, node, method, route, body)
      const tls = encryption.on || node.url.startsWith('https:') ? await encryption.trust(node) : undefined
      let response: Response
      let text: string
      try {
        response = await this.#http.fetch(`${node.url}${route}`, {
          method,
          headers: {
            ...introduction,
            'accept-encoding': 'identity',
            ...(body !== undefined && { 'content-type': 'application/json' }),
          },
          ...(body !== undefined && { body }),
          ...(tls && { tls }),
          signal,
          redirect: 'error',
          // Nodes compress nothing; what a kilobyte unpacks to has no cap.
          decompress: false,
        })
        text = await readCapped(response, maxControlBytes)
      } catch (error) {
        if (error instanceof Failure) throw error
        if (tls) encryption.forget(node)
        throw new Failure('unavailable', `${where(node, route)}: ${(error as Error).message}`, { cause: error })
      }
      if (response.status === 401) this.#options.notAdmitted?.(node, saidIn(text).message)
      if (pass && !pass.sealed(response.status, text, response.headers.get(headers.seal))) {
        throw unproven(response.status, text, where(node, route))
      }
      if (!response.ok) throw refusal(response.status, text, where(node, route))
      return { text, headers: response.headers }
    })
  }
}

export interface Introducing {
  readonly self: Pick<NodeInfo, 'id'>
  readonly tickets: Tickets | undefined
  readonly traces?: Pick<Traces, 'carried'> | undefined
}

/** Who asks, in a cluster with a key the ticket for it, and what it belongs to where that is traced. @throws {Failure} `unavailable`, `too-many` */
export function introduce(
  { self, tickets, traces }: Introducing,
  node: Pick<NodeCard, 'id'>,
  method: 'GET' | 'POST',
  target: string,
  body?: string,
): { headers: Record<string, string>; pass: OutgoingPass | undefined } {
  const pass = tickets?.make(node.id, method, target, body)
  const said: Record<string, string> = { [headers.node]: self.id }
  if (pass) said[headers.ticket] = pass.text
  const trace = traces?.carried()
  if (trace !== undefined) said[headers.trace] = trace
  return { headers: said, pass }
}

/** An answer without the right seal is not the node's, but a refusal to know this one comes without. */
function unproven(status: number, text: string, where: string): Failure {
  const said = status === 401 ? refusal(status, text, where).message : `${where} answered ${status}`
  return new Failure('unavailable', `${said}, and cannot prove that it holds the cluster key`)
}

function where(node: NodeCard, route: string): string {
  return `${node.url}${route}`
}

async function readCapped(response: Response, cap: number): Promise<string> {
  const said = response.headers.get('content-length')
  // Read at once, which costs a fraction, when it says how long it is: the runtime holds it to that.
  if (said !== null && Number(said) <= cap) return response.text()
  const decoder = new TextDecoder()
  let text = ''
  let read = 0
  if (!response.body) return text
  for await (const chunk of response.body) {
    read += chunk.length
    if (read > cap) throw new Failure('unavailable', `${response.url} answered with more than ${cap} bytes`)
    text += decoder.decode(chunk, { stream: true })
  }
  return text + decoder.decode()
}

/** What another node says of itself, or of this one, is not what this node tells a client. */
const ours = new Set<FailureCode>(['internal', 'not-admitted'])

/** What `render` on the other side made of a failure, as a failure again. */
function refusal(status: number, text: string, where: string): Failure {
  const { code, message } = saidIn(text)
  return new Failure(code, `${where} answered ${status}: ${message}`, { detail: { status } })
}

function saidIn(text: string): { code: FailureCode; message: string } {
  let said: { code?: unknown; message?: unknown } = {}
  try {
    said = Object(parseJson(text))
  } catch {
    // Not a node, or not well: the status has to do.
  }
  const code =
    typeof said.code === 'string' && isFailureCode(said.code) && !ours.has(said.code) ? said.code : 'unavailable'
  return { code, message: typeof said.message === 'string' ? said.message.slice(0, 300) : 'no reason given' }
}
