/**
 * How far each node is, as whoever runs a preheat knows it, and what that makes of the job. Pure: told what nodes
 * answered and when, it says whom to ask when, who is given up, and when it is over.
 */

import type { NodeId } from '../cluster/node-info.ts'
import { turnsAway } from '../failure.ts'
import type { JobState } from '../state/state.ts'
import type { ErrandReply } from './errand.ts'
import type { PreheatNode } from './preheats.ts'

export interface Charge extends PreheatNode {
  /** Clock ms from which on it is to be asked. */
  readonly dueAt: number
  /** Clock ms at which it last answered, or was first asked. */
  readonly heardAt: number
  /** The whole list goes to it with the next question. */
  readonly tell: boolean
  /** How often it said that it failed. */
  readonly failures: number
}

/** Times in ms. */
export const chargeTimes = {
  askEvery: 1_000,
  /** Who does not answer is asked less and less often. */
  slowest: 15_000,
  /** Silent for so long, it is given up. */
  giveUpAfter: 120_000,
  /** Who failed for a reason that may pass, or is busy, is asked again after so long. */
  againAfter: 10_000,
} as const
const mostFailures = 3

export function isOver({ state }: { readonly state: JobState }): boolean {
  return state !== 'pending' && state !== 'running'
}

export function newCharge(node: NodeId, now: number): Charge {
  return { node, state: 'pending', bytes: 0, dueAt: now, heardAt: now, tell: true, failures: 0 }
}

/** What was recorded of it before another process, or another node, goes on: it is asked anew unless it was over. */
export function resumed(known: PreheatNode, now: number): Charge {
  return { ...newCharge(known.node, now), ...known }
}

/** It answered. `everyMs`: so often it is asked in a cluster of that size. */
export function heard(charge: Charge, reply: ErrandReply, now: number, everyMs: number): Charge {
  const { bytes, total, code, message } = reply
  const { reason: _, ...rest } = charge
  const next = { ...rest, bytes, total, heardAt: now, dueAt: now + everyMs, tell: false }
  switch (reply.state) {
    case 'unknown':
      // It was started again since. What it had it still has, and will say so.
      return { ...charge, heardAt: now, dueAt: now, tell: true }
    case 'running':
      return { ...next, state: 'running' }
    case 'done':
      return { ...next, state: 'done' }
    case 'cancelled':
      return { ...next, state: 'cancelled', reason: 'it was told to leave it' }
    case 'failed': {
      const reason = message ?? 'it gave no reason'
      const failures = charge.failures + 1
      if (failures >= mostFailures || turnsAway(code)) return { ...next, state: 'failed', failures, reason }
      return { ...next, state: 'running', failures, reason, tell: true, dueAt: now + chargeTimes.againAfter }
    }
  }
}

/** It did not answer, or is not known to be in the cluster. */
export function silent(charge: Charge, reason: string, now: number): Charge {
  const quiet = now - charge.heardAt
  if (quiet >= chargeTimes.giveUpAfter) return { ...charge, state: 'failed', reason }
  const wait = Math.min(chargeTimes.slowest, Math.max(chargeTimes.askEvery, quiet / 2))
  return { ...charge, state: 'pending', reason, dueAt: now + wait }
}

/** It answered that it has no room for more now. It is not silent, and asked until it has. */
export function busy(charge: Charge, reason: string, now: number): Charge {
  return { ...charge, reason, heardAt: now, dueAt: now + chargeTimes.againAfter }
}

/** It said no to the question itself, and would say so again. */
export function refused(charge: Charge, reason: string): Charge {
  return { ...charge, state: 'failed', reason }
}

/** How the job ended; undefined while a node is under way. */
export function outcome(charges: readonly Charge[]): { state: 'done' | 'failed'; reason?: string } | undefined {
  if (!charges.every(isOver)) return undefined
  const failed = charges.filter(({ state }) => state !== 'done')
  const [first] = failed
  if (!first) return { state: 'done' }
  const who = `${failed.length} of ${charges.length} ${charges.length === 1 ? 'node' : 'nodes'} failed`
  return { state: 'failed', reason: `${who}, the first of them ${first.node}: ${first.reason ?? 'it gave no reason'}` }
}

/** A whole cluster is asked a few hundred questions a second, not more. */
export function askEvery(nodes: number): number {
  return Math.max(chargeTimes.askEvery, nodes * 2)
}
