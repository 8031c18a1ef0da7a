/**
 * The two calls that make up nearly all of what a scheduler is asked, past the router and its middleware: fifteen
 * thousand nodes that begin to pull within seconds make ten thousand of them a second, and one core answers them.
 * The rules are those of every other call: admitted first, capped in size and time, a refusal is a {@link Failure}.
 */
import type { NodeInfo } from '../cluster/node-info.ts'
import { Refusal } from '../cluster/tickets.ts'
import { Failure } from '../failure.ts'
import { type Guest, sealed, speaksFor } from './admission.ts'
import { Deadlines } from './deadlines.ts'
import { Hearing } from './hearing.ts'
import { type PeerAppOptions, type PeerServer, render, textOf } from './peer-app.ts'
import { headers, wireRules } from './rules.ts'
import type { Inbound } from './wire.ts'

export type ControlOptions = Pick<
  PeerAppOptions,
  'inbound' | 'admit' | 'refused' | 'uploads' | 'intake' | 'clock' | 'log'
>

/** Who knows where a request came from. */
type Asked = Pick<PeerServer, 'requestIP'>

export class Control {
  readonly #o: ControlOptions
  readonly #hearing = new Hearing()
  readonly #bodies: Deadlines

  constructor(options: ControlOptions) {
    this.#o = options
    this.#bodies = new Deadlines(options.clock, wireRules.bodyDeadline)
  }

  announce(request: Request, server: Asked): Promise<Response> {
    return this.#answer(
      request,
      server,
      (text) => this.#hearing.announce(text),
      (inbound, announce) => inbound.announce(announce),
    )
  }

  schedule(request: Request, server: Asked): Promise<Response> {
    return this.#answer(
      request,
      server,
      (text) => this.#hearing.schedule(text),
      (inbound, question) => inbound.schedule(question),
    )
  }

  close(): void {
    this.#bodies.close()
  }

  async #answer<T extends { node: NodeInfo }>(
    request: Request,
    server: Asked,
    read: (text: string) => T,
    reply: (inbound: Inbound, message: T) => object | Promise<object>,
  ): Promise<Response> {
    const { inbound, admit, refused, uploads, intake, log } = this.#o
    // Who sends files counts the requests that send none.
    const leave = uploads.enter('')
    let guest: Guest | undefined
    let letGo = () => {}
    let over = () => {}
    try {
      const host = server.requestIP(request)?.address ?? 'localhost'
      over = intake.host(host)
      guest = admit(request)
      const ready = inbound()
      if (!ready) throw new Failure('too-many', 'this node is still starting')
      letGo = intake.body(request, host)
      const text = await this.#body(request)
      guest.pass?.bring(text)
      const message = read(text)
      speaksFor(guest, message.node.id)
      this.#hearing.remember(message.node)
      const answer = JSON.stringify(await reply(ready, message))
      return new Response(answer, { headers: { 'content-type': 'application/json', ...sealed(guest, 200, answer) } })
    } catch (error) {
      if (error instanceof Refusal) refused(error, request.headers.get(headers.node))
      return render(Failure.from(error), log, guest)
    } finally {
      letGo()
      over()
      leave()
    }
  }

  #body(request: Request): Promise<string> {
    return new Promise((resolve, reject) => {
      const stop = this.#bodies.start(() => reject(new Failure('unavailable', 'the body did not arrive in time')))
      textOf(request).then(resolve, reject).finally(stop)
    })
  }
}
