/**
 * What time it is, as far as one may go by it where things are taken away for their age: to a clock that is a month ahead
 * all is a month older, and what a sweep took away is gone from the backend too. So others are asked, a few, and no fewer
 * have to agree than do not. Where there are none, the clock counts unless it was set to something else while this process ran.
 */
import { z } from 'zod'
import { type Clock, type Random, shuffle } from '../clock.ts'
import type { Membership } from '../cluster/membership.ts'
import type { NodeId, NodeInfo } from '../cluster/node-info.ts'
import { Failure } from '../failure.ts'
import { lru } from '../lru.ts'
import type { Call, Calls } from '../wire/calls.ts'
import type { Outbound } from '../wire/wire.ts'

/** In wall ms. */
const timeCall: Call<object, { readonly wall: number }> = {
  name: 'time',
  request: z.object({}),
  reply: z.object({ wall: z.number().int().min(0).max(Number.MAX_SAFE_INTEGER) }),
}

/** Any node tells. */
export function tellTime(calls: Calls, clock: Pick<Clock, 'wall'>): void {
  calls.on(timeCall, async () => ({ wall: Math.floor(clock.wall()) }))
}

export interface ClocksParts {
  readonly membership: Pick<Membership, 'self' | 'all' | 'onJoin' | 'onLeave'>
  readonly outbound: Pick<Outbound, 'call'>
  readonly clock: Clock
  readonly random: Random
}

/** Clocks that differ by more, ms, do not agree: far more than hosts without NTP drift in days. */
export const mostApart = 10 * 60_000
const mostAsked = 7
/**
 * Who is away without having said so may be so for this clock alone: with a cluster key, nodes refuse one whose clock is
 * wrong. So long, in ms, it is asked all the same.
 */
const rememberedMs = 86_400_000
const mostRemembered = 64

/** Another node, and how far it is behind this one, ms; `silent`: it does not answer; `unasked`: its release does not tell. */
export interface Witness {
  readonly name: string
  readonly behind: number | 'silent' | 'unasked'
}

export class Clocks {
  readonly #o: ClocksParts
  readonly #lost = lru<NodeId, { readonly info: NodeInfo; readonly until: number }>(mostRemembered)
  /** Of the wall clock's time before that of the one that nobody sets, ms. */
  #lead: number

  constructor(parts: ClocksParts) {
    const { membership, clock } = parts
    this.#o = parts
    this.#lead = clock.wall() - clock.now()
    membership.onJoin(({ id }) => void this.#lost.delete(id))
    membership.onLeave((info, reason) => {
      if (reason !== 'it left') this.#lost.set(info.id, { info, until: clock.now() + rememberedMs })
    })
  }

  /** Wall ms. @throws {Failure} `unavailable` where it should not be gone by */
  async agreed(): Promise<number> {
    const { clock, random } = this.#o
    const asked = shuffle([...this.#others()], random).slice(0, mostAsked)
    const witnesses = await Promise.all(asked.map((info) => this.#ask(info)))
    const lead = clock.wall() - clock.now()
    const doubt = doubtOf(witnesses, lead - this.#lead)
    if (doubt !== undefined) throw new Failure('unavailable', doubt)
    // Others agree, or nothing has changed: from now on it is this that counts.
    this.#lead = lead
    return clock.wall()
  }

  #others(): NodeInfo[] {
    const { membership, clock } = this.#o
    const members = membership.all().flatMap(({ info }) => (info.id === membership.self.id ? [] : [info]))
    if (members.length > 0) return members
    return [...this.#lost.values()].flatMap(({ info, until }) => (until > clock.now() ? [info] : []))
  }

  async #ask(info: NodeInfo): Promise<Witness> {
    const { outbound, clock } = this.#o
    const name = info.url
    const before = clock.wall()
    try {
      const { wall } = await outbound.call(info, timeCall, {})
      return { name, behind: (before + clock.wall()) / 2 - wall }
    } catch (error) {
      return { name, behind: Failure.from(error).code === 'bad-request' ? 'unasked' : 'silent' }
    }
  }
}

/** Why the clock should not be gone by; undefined where it may be. `parted`: ms by which it was set ahead. Pure. */
export function doubtOf(witnesses: readonly Witness[], parted: number): string | undefined {
  const heard = witnesses.flatMap(({ name, behind }) => (typeof behind === 'number' ? [{ name, behind }] : []))
  const against = heard.filter(({ behind }) => Math.abs(behind) > mostApart)
  if (against.length > heard.length - against.length) {
    const { name, behind } = against[0]!
    return `the clock of this host is ${apart(behind)} that of ${name}, and fewer nodes agree with it than do not; set both by NTP`
  }
  if (heard.length > 0) return undefined
  if (witnesses.some(({ behind }) => behind === 'silent')) {
    const names = witnesses.map(({ name }) => name).join(', ')
    return `no other node (${names}) says what time it is there: see to the network, and whether this host's clock is right, for with a cluster key nodes refuse one that is not`
  }
  if (Math.abs(parted) <= mostApart) return undefined
  return `the clock of this host was set, and is ${apart(parted)} what it was, and there is no other node to ask: if it is right now, start this node again`
}

function apart(ms: number): string {
  return `${Math.round(Math.abs(ms) / 1000)} s ${ms > 0 ? 'ahead of' : 'behind'}`
}
