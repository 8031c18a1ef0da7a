/**
 * Where the time of a swarm goes: what every link is doing, looked at again and again while the swarm runs. What is found
 * adds up to the time that hosts took, so that it says which part of it a better decision could take away.
 */
import type { Copy, Host } from './host.ts'

/** What comes to a host that has not got everything yet. */
export const arrivals = {
  receiving: 'something comes',
  first: 'nothing has come yet',
  turn: 'idle: those it asked send to others',
  slots: 'idle: some it asked has an idle link, and all of its slots taken',
  asking: 'idle: a request is on its way, or could be made',
  news: 'idle: its parents have something and have not said so yet',
  nothing: 'idle: its parents have nothing for it',
} as const
export type Arrival = keyof typeof arrivals

/** What a host does for others while some of them have not got everything yet. */
export const departures = {
  sending: 'it sends',
  stuck: 'idle: others wait, and its slots are taken by what waits at their links',
  vain: 'idle: others wait for what it cannot give them',
  unasked: 'idle: nobody waits',
} as const
export type Departure = keyof typeof departures

/** Shares of the time in which a link carries the blobs once, for the average host. */
export interface Account {
  readonly down: Readonly<Record<Arrival, number>>
  readonly up: Readonly<Record<Departure, number>>
}

export class Accountant {
  readonly #shareOfLook: number
  readonly #down: Record<Arrival, number> = zero(arrivals)
  readonly #up: Record<Departure, number> = zero(departures)

  /** @param shareOfLook time from one look to the next, over that in which a link carries the blobs once */
  constructor(shareOfLook: number) {
    this.#shareOfLook = shareOfLook
  }

  /** @param seeds that many of the hosts come first and want nothing */
  look(hosts: readonly Host[], seeds: number, now: number): void {
    for (const host of hosts) {
      if (!host.alive || host.startedAt > now) continue
      this.#up[departureOf(host, now)]++
      if (host.index >= seeds && host.tookMs === undefined) this.#down[arrivalOf(host, hosts, now)]++
    }
  }

  account(hosts: number): Account {
    const share = this.#shareOfLook / hosts
    return { down: scaled(this.#down, share), up: scaled(this.#up, share) }
  }
}

function zero<K extends string>(of: Readonly<Record<K, string>>): Record<K, number> {
  return Object.fromEntries(Object.keys(of).map((key) => [key, 0])) as Record<K, number>
}

function scaled<K extends string>(counts: Record<K, number>, share: number): Record<K, number> {
  return Object.fromEntries(Object.entries<number>(counts).map(([key, n]) => [key, n * share])) as Record<K, number>
}

function departureOf({ upFree, uploads }: Host, now: number): Departure {
  if (upFree > now) return 'sending'
  if (uploads.waiting === 0) return 'unasked'
  return uploads.sending >= uploads.slots(now) ? 'stuck' : 'vain'
}

function arrivalOf({ downFree, copies }: Host, hosts: readonly Host[], now: number): Arrival {
  if (downFree > now) return 'receiving'
  if (copies.every(({ have }) => have.count === 0)) return 'first'
  const lacking = copies.filter(({ have }) => !have.complete)
  const asked = lacking.flatMap(({ open }) => [...open.values()])
  const waiting = asked.filter(({ at }) => at > 0)
  if (waiting.some(({ parent }) => departureOf(parent.host, now) === 'stuck')) return 'slots'
  if (waiting.length > 0) return 'turn'
  if (asked.length > 0) return 'asking'
  if (lacking.some((copy) => holdersOf(copy, hosts, true))) return 'asking'
  return lacking.some((copy) => holdersOf(copy, hosts, false)) ? 'news' : 'nothing'
}

/** Whether some parent has a piece that is lacking: as far as it is `known`, or in truth. */
function holdersOf(copy: Copy, hosts: readonly Host[], known: boolean): boolean {
  for (const { id, have } of copy.download.parents.values()) {
    const place = Number(id.slice(id.lastIndexOf('-') + 1))
    const parent = hosts[place]?.copies.find(({ digest }) => digest === copy.digest)
    const held = known ? have : parent?.have
    if (!held) continue
    for (let at = 0; at < held.bytes.length; at++) if (held.bytes[at]! & ~copy.have.bytes[at]!) return true
  }
  return false
}
