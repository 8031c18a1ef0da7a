/**
 * The level of a log that runs: what the settings say, or for a while what an operator wants to see. A debug log that
 * is forgotten fills a disk, so a time is easily given with it.
 */
import type { Clock } from '../clock.ts'
import type { LogLevel } from './log.ts'
import type { LevelledLog } from './pino.ts'

export interface LevelFacts {
  readonly level: LogLevel
  /** What it is by the settings. */
  readonly configured: LogLevel
  /** Wall time in ms at which it is that again; absent: it stays, until the settings are read again or the node ends. */
  readonly until?: number
}

/** Longer ones are for the settings file. */
export const longestMs = 24 * 3600_000

export class LogLevels {
  readonly #log: LevelledLog
  readonly #clock: Clock
  #configured: LogLevel
  #until: number | undefined
  #cancel = () => {}

  constructor(log: LevelledLog, clock: Clock) {
    this.#log = log
    this.#clock = clock
    this.#configured = log.level
  }

  get facts(): LevelFacts {
    const { level } = this.#log
    return { level, configured: this.#configured, ...(this.#until === undefined ? {} : { until: this.#until }) }
  }

  /** @param forMs {@link longestMs} at most; undefined: no end */
  set(level: LogLevel, forMs?: number): LevelFacts {
    this.#cancel()
    this.#until = undefined
    this.#change(level)
    if (forMs !== undefined) {
      this.#until = this.#clock.wall() + forMs
      this.#cancel = this.#clock.after(forMs, () => this.configure(this.#configured))
    }
    return this.facts
  }

  /** The settings were read. */
  configure(level: LogLevel): void {
    this.#configured = level
    this.set(level)
  }

  close(): void {
    this.#cancel()
  }

  /** Told whatever the levels are, before or after: whoever reads the log must know why lines begin or end. */
  #change(to: LogLevel): void {
    const from = this.#log.level
    if (from === to) return
    const quieter = () => this.#log.warn('the log level was changed', { from, to })
    if (to === 'error') quieter()
    this.#log.level = to
    if (to !== 'error') quieter()
  }
}
