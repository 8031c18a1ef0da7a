/**
 * Follows the address of this node: the host is looked at every few seconds, for it may have no network yet when the node
 * starts, get another lease, or be carried elsewhere. What two looks in a row say is done: an interface that is only being
 * set up anew has no address for a moment. A look that fails, as without a free descriptor, says nothing.
 */
import { type Clock, every } from '../clock.ts'
import { type Interfaces, nextPlace, type Place } from '../cluster/advertise.ts'
import type { Log } from '../telemetry/log.ts'

/** ms */
export const lookEvery = 5_000

export interface FollowOptions {
  /** Where the node is now. */
  readonly place: Place
  /** What it listens on: all addresses, IPv6 included or not. */
  readonly listenHost: string
  readonly interfaces: () => Interfaces
  /** Takes the node there. What it throws is told, and the next looks try again. */
  readonly move: (address: string) => Promise<void>
  readonly clock: Clock
  readonly log: Log
}

/** @returns what ends it, when a move that is under way is over */
export function followPlace(options: FollowOptions): () => Promise<void> {
  const { listenHost, interfaces, move, clock, log } = options
  let { place } = options
  let seen: string | undefined
  let moving: Promise<void> | undefined
  const go = async (to: Place) => {
    const { address } = to
    try {
      await move(address)
      place = to
    } catch (error) {
      log.error('the node cannot go by the address that its host has now; trying again', { address, error })
    }
    moving = undefined
  }
  const look = () => {
    try {
      return interfaces()
    } catch (error) {
      log.debug('the addresses of this host could not be looked at; trying again', { error })
      return undefined
    }
  }
  const stop = every(clock, lookEvery, () => {
    if (moving) return
    const found = look()
    if (!found) return
    const next = nextPlace(place, found, listenHost)
    const certain = seen === next.address
    seen = next.address
    if (certain && next.address !== place.address) moving = go(next)
  })
  return async () => {
    stop()
    await moving
  }
}
