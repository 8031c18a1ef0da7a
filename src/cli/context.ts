/** What commands touch of the process they run in, as one argument: tests run whole command lines without one. */
import type { Clock } from '../clock.ts'
import type { Variables } from '../config/given.ts'
import type { Host } from '../config/host.ts'
import type { Changes } from '../config/reload.ts'
import type { Settings } from '../config/settings.ts'
import type { Screen } from './screen.ts'

/** Settings as they are now, and how they differ from those that the node was started with. */
export interface Reread {
  readonly settings: Settings
  readonly changes: Changes
}

/** A started node, as far as the command line goes. */
export interface StartedNode {
  /** Lines that say where it listens and what to do next. */
  summary(): string[]
  /** Takes over what changed and can be; `read` throws when the settings are not right, and all stays then. Never throws. */
  reload?(read: () => Reread): void
  /** Stops taking requests, lets those under way finish, and ends. */
  close(reason: string): Promise<void>
}

export interface Context {
  readonly variables: Variables
  readonly host: Host
  readonly clock: Clock
  /** Writes lines to standard output. */
  out(text: string): void
  /** Writes bytes to standard output; resolves when more may come. */
  pour(bytes: Uint8Array): Promise<void>
  /** Standard output, where it is a terminal. */
  readonly screen?: Screen | undefined
  /** Writes lines to standard error. */
  err(text: string): void
  /** What was answered at the terminal; undefined when there is none. */
  ask(question: string): Promise<string | undefined>
  /** Loads what a node consists of, and starts one; rejects with the reason of `ending` when that is heeded meanwhile. */
  start(settings: Settings, ending: AbortSignal): Promise<StartedNode>
  /** Calls `listener` when standard output takes nothing more, as when its reader has left, until the result is called. */
  onReaderGone?(listener: () => void): () => void
  /** Calls `listener` for each SIGTERM and SIGINT until the result is called. */
  onSignal(listener: (signal: string) => void): () => void
  /** Calls `listener` for each SIGHUP until the result is called. */
  onReload(listener: () => void): () => void
}

/** 0 done, 1 failed, 2 wrong usage. */
export type ExitCode = 0 | 1 | 2
