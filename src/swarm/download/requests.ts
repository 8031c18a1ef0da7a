/** The requests of a download that are not over, in the order in which they were sent, and how many of them are what. Pure. */
import { type Layout, pieceBytes } from '../../piece/layout.ts'
import type { Link } from './link.ts'
import type { Parent, Request } from './parent.ts'

/** As those who make none see them. */
export type RequestFacts = Pick<Requests, 'size' | 'open' | 'openAimed' | 'started' | 'queued' | 'oldest'>

export class Requests {
  readonly #all = new Map<number, Request>()
  #nextId = 1
  #open = 0
  #openAimed = 0
  #started = 0
  #queued = 0
  readonly #layout: Layout
  readonly #link: Link

  constructor(layout: Layout, link: Link) {
    this.#layout = layout
    this.#link = link
  }

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

  /** How many wait for a limit of this node's own. */
  get queued(): number {
    return this.#queued
  }

  /** The one that was sent first. */
  get oldest(): Request | undefined {
    for (const request of this.#all.values()) if (!request.queued) return request
    return undefined
  }

  get(id: number): Request | undefined {
    return this.#all.get(id)
  }

  values(): MapIterator<Request> {
    return this.#all.values()
  }

  /** One more at that parent, for just anything until it is bound. */
  send(parent: Parent, now: number, what: Pick<Request, 'unwanted' | 'aimed' | 'ahead'> = {}): Request {
    const request: Request = { id: this.#nextId++, parent: parent.id, sentAt: now, ...what }
    this.#all.set(request.id, request)
    parent.requests.set(request.id, request)
    this.#opens(request, 1)
    this.#counts(request, 1)
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
    if (!request.started) {
      this.#started++
      this.#link.begins(this.#bytes(request))
    }
    request.started = true
  }

  /** Nobody sends it any more: it is asked for elsewhere. */
  stop(request: Request): void {
    if (!request.started) return
    this.#started--
    this.#link.ends(this.#bytes(request))
    request.started = false
  }

  /** A limit of this node's own keeps it back. */
  queue(request: Request): void {
    if (!request.queued) this.#queued++
    request.queued = true
  }

  /** That limit lets it go: it is sent now. */
  sent(request: Request, now: number): void {
    if (!request.queued) return
    this.#queued--
    request.queued = false
    request.sentAt = now
    this.#all.delete(request.id)
    this.#all.set(request.id, request)
  }

  /** It is over. The parent may have left. */
  end(request: Request, parent: Parent | undefined): void {
    this.#all.delete(request.id)
    parent?.requests.delete(request.id)
    if (request.started) {
      this.#started--
      this.#link.ends(this.#bytes(request))
    }
    this.#counts(request, -1)
    if (request.queued) this.#queued--
    if (request.piece === undefined) this.#opens(request, -1)
  }

  #counts({ aimed, ahead }: Request, by: 1 | -1): void {
    if (aimed) this.#link.awaited += by
    else if (ahead) this.#link.ahead += by
  }

  #bytes({ piece }: Request): number {
    return piece === undefined ? 0 : pieceBytes(this.#layout, piece)
  }

  #opens({ aimed }: Request, by: 1 | -1): void {
    this.#open += by
    if (aimed) this.#openAimed += by
  }
}
