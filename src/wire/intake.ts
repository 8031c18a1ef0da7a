/**
 * How much the peer port takes on at once: requests and bytes of bodies, of one host and of all. Past that it says that
 * it is busy, and whoever asks goes to the next node; a host that takes more than its share leaves room for the others.
 * Who only holds connections open loses them when they have rested for a while.
 */
import { Failure } from '../failure.ts'
import { isLoopback } from '../listen.ts'
import { maxControlBytes } from './messages.ts'

export interface IntakeLimits {
  /** Requests of one host: more than the few nodes behind one address ask of one other. */
  readonly requestsOfHost: number
  /** Bytes of its bodies: a quarter of what there is for all, announces of some thousand nodes behind one address. */
  readonly bodyBytesOfHost: number
  /** Bytes of bodies that are on their way in, or being answered: announces of fifteen thousand nodes, and room to spare. */
  readonly bodyBytes: number
}

const mebibyte = 1024 * 1024
export const intakeLimits: IntakeLimits = {
  requestsOfHost: 1024,
  bodyBytesOfHost: 32 * mebibyte,
  bodyBytes: 128 * mebibyte,
}

/** What of one host is under way. */
interface Share {
  requests: number
  bodies: number
}

export class Intake {
  readonly #limits: IntakeLimits
  readonly #uncounted: (address: string) => boolean
  readonly #byHost = new Map<string, Share>()
  #bodies = 0

  /** @param uncounted hosts that have no share of their own: nodes on this very host have one address together */
  constructor(limits: IntakeLimits = intakeLimits, uncounted: (address: string) => boolean = isLoopback) {
    this.#limits = limits
    this.#uncounted = uncounted
  }

  /**
   * A request of that host begins; the result is called when it is over.
   * @throws {Failure} `too-many`
   */
  host(address: string): () => void {
    const open = this.#byHost.get(address)?.requests ?? 0
    if (open >= this.#limits.requestsOfHost) {
      throw new Failure('too-many', `${open} requests of ${address} are under way here`)
    }
    return this.#count(address, 'requests', 1)
  }

  /**
   * The body of a request of that host is about to be read; the result is called when it is no longer held.
   * @throws {Failure} `bad-request` for one that is too long, `too-many` when too much is under way
   */
  body(request: Request, address: string): () => void {
    const said = request.headers.get('content-length')
    // In chunks it may be as long as it likes, which the runtime ends at the same length.
    const bytes = said === null ? maxControlBytes : Number(said)
    if (!(bytes <= maxControlBytes)) throw new Failure('bad-request', 'the body is longer than 1 MiB')
    const { bodyBytes, bodyBytesOfHost } = this.#limits
    if ((this.#byHost.get(address)?.bodies ?? 0) + bytes > bodyBytesOfHost) {
      throw new Failure('too-many', `the bodies of other requests of ${address} fill the room there is for one host's`)
    }
    if (this.#bodies + bytes > bodyBytes) {
      throw new Failure('too-many', 'the bodies of other requests fill the room there is for them')
    }
    this.#bodies += bytes
    const leave = this.#count(address, 'bodies', bytes)
    return once(() => {
      this.#bodies -= bytes
      leave()
    })
  }

  #count(address: string, what: keyof Share, by: number): () => void {
    if (this.#uncounted(address)) return () => {}
    const share = this.#byHost.get(address) ?? { requests: 0, bodies: 0 }
    this.#byHost.set(address, share)
    share[what] += by
    return once(() => {
      share[what] -= by
      if (share.requests === 0 && share.bodies === 0) this.#byHost.delete(address)
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
