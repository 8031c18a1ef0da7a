/** Pieces that are passed on while they come, in virtual time: see ../../src/swarm/relays.ts, and the uploader's `passOn`. */
import { keptBack, mostRelays } from '../../src/swarm/relays.ts'
import type { Copy, Host, SimAsk } from './host.ts'

export interface RelayEvents {
  now(): number
  /** {@link Relays.late} is to be called when it has waited for as long as anybody may. */
  late(ask: SimAsk): void
  /** It may be put on the link then. */
  ready(ask: SimAsk, at: number): void
  /** Nothing comes that could be passed on: it is answered like any other. */
  serve(ask: SimAsk): void
  /** What was passed on came to nothing. */
  brokeOff(ask: SimAsk): void
  /** That host may have something to do. */
  grant(host: Host): void
}

export class Relays {
  readonly #events: RelayEvents

  constructor(events: RelayEvents) {
    this.#events = events
  }

  /** It is passed the piece on as soon as that comes. False if nothing will bring it. */
  join(ask: SimAsk, piece: number): boolean {
    const { parent, child, digest } = ask
    const { host } = parent
    const { begin, end } = host.uploads.passOn({ peer: child.host.id, digest }, piece, this.#events.now())
    const sources = sourcesOf(parent, piece)
    if ((sources.length === 0 && !isOpen(parent)) || host.relays >= mostRelays) {
      end(false)
      return false
    }
    ask.relay = { whole: 0, begin, over: end, source: undefined }
    const begun = sources.find(({ comes }) => comes)
    if (begun) {
      this.#follow(ask, begun)
      return true
    }
    const followers = parent.followers.get(piece) ?? new Set()
    parent.followers.set(piece, followers.add(ask))
    this.#events.late(ask)
    return true
  }

  /** The first of what this request brings is here. */
  begun(source: SimAsk): void {
    const { child, piece } = source
    const followers = child.followers.get(piece!)
    if (!followers || !child.host.alive) return
    child.followers.delete(piece!)
    for (const ask of followers) this.#follow(ask, source)
  }

  /** The request is over; `sound`: the piece is here, and what it should be. */
  ended({ child, piece, passes }: SimAsk, sound: boolean): void {
    if (!child.host.alive) return
    for (const ask of passes) {
      end(ask, sound)
      if (!sound) this.#events.brokeOff(ask)
    }
    const ended = passes.splice(0).length > 0
    const followers = piece !== undefined && child.followers.get(piece)
    if (followers && sourcesOf(child, piece).length === 0 && !isOpen(child))
      for (const ask of [...followers]) this.#giveUp(ask)
    if (ended) this.#events.grant(child.host)
  }

  /** It has waited for long. */
  late(ask: SimAsk): void {
    if (ask.relay?.over && !ask.relay.source) this.#giveUp(ask)
  }

  /** The child wants it no more. */
  leave(ask: SimAsk): void {
    const passes = ask.relay?.source?.passes
    passes?.splice(passes.indexOf(ask), 1)
    unfollow(ask)
    end(ask, false)
  }

  #follow(ask: SimAsk, source: SimAsk): void {
    const { begins, whole } = source.comes!
    ask.parent.host.relays++
    ask.relay!.begin()
    ask.relay!.source = source
    ask.relay!.whole = whole
    source.passes.push(ask)
    this.#events.ready(ask, begins)
  }

  #giveUp(ask: SimAsk): void {
    unfollow(ask)
    end(ask, false)
    ask.relay = undefined
    this.#events.serve(ask)
  }
}

/** When the last of what is passed on is there; 0 of what is sent from the disk. */
export function wholeAt({ parent, relay }: SimAsk, latencyMs: number): number {
  return relay ? relay.whole + keptBack / parent.host.rate + latencyMs : 0
}

/** The requests that will bring the piece there. */
function sourcesOf({ open }: Copy, piece: number): SimAsk[] {
  return [...open.values()].filter((ask) => ask.piece === piece)
}

/** It is not known yet of all of its requests what they bring. */
function isOpen({ open }: Copy): boolean {
  return [...open.values()].some((ask) => ask.piece === undefined)
}

function unfollow(ask: SimAsk): void {
  const { followers } = ask.parent
  const waiting = ask.piece === undefined ? undefined : followers.get(ask.piece)
  if (waiting?.delete(ask) && waiting.size === 0) followers.delete(ask.piece!)
}

function end({ parent, relay }: SimAsk, whole: boolean): void {
  if (!relay) return
  if (relay.source) parent.host.relays--
  relay.over?.(whole)
  relay.over = relay.source = undefined
}
