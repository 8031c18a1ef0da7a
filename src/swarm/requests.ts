/** The requests of a download that are not over, in the order in which they were sent, and how many of them are what. Pure. */
import type { Parent, Request } from './parent.ts'

/** As those who make none see them. */
export type RequestFacts = Pick<Requests, 'size' | 'open' | 'openAimed' | 'started'>

export class Requests {
  readonly #all = new Map<number, Request>()
  #nextId = 1
  #open = 0
  #openAimed = 0
  #started = 0

  get size(): number {
    return this.#all.size
  }
  /** How many may bring just anything: they are not bound to a piece. */
  get open(): number {
    return this.#open
  }
  /** How many of these will bring what somebody waits for. */
  get openAimed(): number {
    return this.#openAimed
  }
  /** How many are being answered. */
  get started(): number {
    return this.#started
  }

  get(id: number): Request | undefined {
    return this.#all.get(id)
  }

  values(): MapIterator<Request> {
    return this.#all.values()
  }

  /** One more at that parent, for just anything until it is bound. */
  send(parent: Parent, now: number, any: Pick<Request, 'unwanted' | 'aimed'> = {}): Request {
    const request: Request = { id: this.#nextId++, parent: parent.id, sentAt: now, ...any }
    this.#all.set(request.id, request)
    parent.requests.set(request.id, request)
    this.#opens(request, 1)
    return request
  }

  /** It brings that piece. False if it is bound to one already. */
  bind(request: Request, piece: number): boolean {
    if (request.piece !== undefined) return false
    this.#opens(request, -1)
    request.piece = piece
    return true
  }

  /** Its piece is being sent. */
  start(request: Request): void {
    if (!request.started) this.#started++
    request.started = true
  }

  /** It is over. The parent may have left. */
  end(request: Request, parent: Parent | undefined): void {
    this.#all.delete(request.id)
    parent?.requests.delete(request.id)
    if (request.started) this.#started--
    if (request.piece === undefined) this.#opens(request, -1)
  }

  #opens({ aimed }: Request, by: 1 | -1): void {
    this.#open += by
    if (aimed) this.#openAimed += by
  }
}
