/** A node that tells its service manager how it does: ready, alive as long as its loop turns, ending. */
import { type Clock, every } from '../clock.ts'
import type { StartedNode } from './context.ts'

export interface Manager {
  /** Sends a message as sd_notify(3) has them. */
  tell(message: string): void
  /** It wants to hear so often that the process is alive, in ms. */
  readonly watchdogMs?: number | undefined
}

/** It takes this many unheard beats before the manager acts, so that one that is late does no harm. */
const beatsPerWatch = 3

export function supervised(node: StartedNode, manager: Manager, clock: Clock): StartedNode {
  const { watchdogMs } = manager
  manager.tell(`READY=1\nSTATUS=${node.summary()[0] ?? 'runs'}`)
  // By a timer of the loop that does all the work: when that is stuck there are no beats.
  const stop =
    watchdogMs === undefined ? () => {} : every(clock, watchdogMs / beatsPerWatch, () => manager.tell('WATCHDOG=1'))
  return {
    summary: () => node.summary(),
    reload: (read) => node.reload?.(read),
    close: (reason) => {
      manager.tell(`STOPPING=1\nSTATUS=${reason}: what is under way may finish`)
      return node.close(reason).finally(stop)
    },
  }
}
