/**
 * How much the peer port takes on at once: requests of one host, and bytes of bodies. Past that it says that it is busy,
 * and whoever asks goes to the next node. Who only holds connections open loses them when they have rested for a while.
 */
import { Failure } from '../failure.ts'
import { isLoopback } from '../listen.ts'
import { maxControlBytes } from './messages.ts'

export interface IntakeLimits {
  /** Requests of one host: more than the few nodes behind one address ask of one other. */
  readonly requestsOfHost: number
  /** Bytes of bodies that are on their way in, or being answered: announces of fifteen thousand nodes, and room to spare. */
  readonly bodyBytes: number
}

export const intakeLimits: IntakeLimits = { requestsOfHost: 1024, bodyBytes: 128 * 1024 * 1024 }

export class Intake {
  readonly #limits: IntakeLimits
  readonly #byHost = new Map<string, number>()
  #bodies = 0

  constructor(limits: IntakeLimits = intakeLimits) {
    this.#limits = limits
  }

  /**
   * A request of that host begins; the result is called when it is over. Nodes on this very host share an address.
   * @throws {Failure} `too-many`
   */
  host(address: string): () => void {
    if (isLoopback(address)) return () => {}
    const open = this.#byHost.get(address) ?? 0
    if (open >= this.#limits.requestsOfHost) {
      throw new Failure('too-many', `${open} requests of ${address} are under way here`)
    }
    this.#byHost.set(address, open + 1)
    return once(() => {
      const left = (this.#byHost.get(address) ?? 1) - 1
      if (left > 0) this.#byHost.set(address, left)
      else this.#byHost.delete(address)
    })
  }

  /**
   * The body of a request is about to be read; the result is called when it is no longer held.
   * @throws {Failure} `bad-request` for one that is too long, `too-many` when too much is under way
   */
  body(request: Request): () => void {
    const said = request.headers.get('content-length')
    // In chunks it may be as long as it likes, which the runtime ends at the same length.
    const bytes = said === null ? maxControlBytes : Number(said)
    if (!(bytes <= maxControlBytes)) throw new Failure('bad-request', 'the body is longer than 1 MiB')
    if (this.#bodies + bytes > this.#limits.bodyBytes) {
      throw new Failure('too-many', 'the bodies of other requests fill the room there is for them')
    }
    this.#bodies += bytes
    return once(() => {
      this.#bodies -= bytes
    })
  }
}

function once(task: () => void): () => void {
  let done = false
  return () => {
    if (!done) task()
    done = true
  }
}
