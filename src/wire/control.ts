/**
 * The two calls that make up nearly all of what a scheduler is asked, past the router and its middleware: fifteen
 * thousand nodes that begin to pull within seconds make ten thousand of them a second, and one core answers them.
 * The rules are those of every other call: admitted first, capped in size and time, a refusal is a {@link Failure}.
 */
import { Failure } from '../failure.ts'
import { Deadlines } from './deadlines.ts'
import { Hearing } from './hearing.ts'
import { maxControlBytes } from './messages.ts'
import { type PeerAppOptions, render, textOf } from './peer-app.ts'
import { wireRules } from './rules.ts'
import type { Inbound } from './wire.ts'

export type ControlOptions = Pick<PeerAppOptions, 'inbound' | 'admit' | 'uploads' | 'clock' | 'log'>

export class Control {
  readonly #o: ControlOptions
  readonly #hearing = new Hearing()
  readonly #bodies: Deadlines

  constructor(options: ControlOptions) {
    this.#o = options
    this.#bodies = new Deadlines(options.clock, wireRules.bodyDeadline)
  }

  announce(request: Request): Promise<Response> {
    return this.#answer(request, (inbound, text) => inbound.announce(this.#hearing.announce(text)))
  }

  schedule(request: Request): Promise<Response> {
    return this.#answer(request, (inbound, text) => inbound.schedule(this.#hearing.schedule(text)))
  }

  close(): void {
    this.#bodies.close()
  }

  async #answer(
    request: Request,
    reply: (inbound: Inbound, text: string) => object | Promise<object>,
  ): Promise<Response> {
    const { inbound, admit, uploads, log } = this.#o
    // Who sends files counts the requests that send none.
    const leave = uploads.enter('')
    try {
      const admitted = admit(request)
      if (admitted) await admitted
      const ready = inbound()
      if (!ready) throw new Failure('too-many', 'this node is still starting')
      if (Number(request.headers.get('content-length') ?? 0) > maxControlBytes) {
        throw new Failure('bad-request', 'the body is longer than 1 MiB')
      }
      return Response.json(await reply(ready, await this.#body(request)))
    } catch (error) {
      return render(Failure.from(error), log)
    } finally {
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
