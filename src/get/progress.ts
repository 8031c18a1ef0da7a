/** What somebody at a terminal sees of a download; elsewhere nothing is printed. */
import { Format, SingleBar } from 'cli-progress'
import prettyBytes from 'pretty-bytes'
import type { Clock } from '../clock.ts'
import { Meter } from '../meter.ts'
import { barOptions, type Terminal } from '../terminal-lines.ts'
import type { Shares } from './mirror.ts'

export interface Figures {
  readonly name: string
  readonly total: number
  /** Bytes that are here, those of an earlier try included. */
  readonly done: number
  readonly perSecond: number
  readonly shares: Shares | undefined
}

const widestName = 32

/** One line. Pure. */
export function lineOf({ name, total, done, perSecond, shares }: Figures, bar: string): string {
  const percent = total === 0 ? 100 : Math.floor((100 * done) / total)
  const left = total - done
  const seconds = perSecond > 0 ? Math.ceil(left / perSecond) : undefined
  const from = shares && sharesText(shares)
  const short = name.length > widestName ? `…${name.slice(1 - widestName)}` : name
  return [
    `${short} ${bar} ${String(percent).padStart(3)}%`,
    `${bytes(done)} of ${bytes(total)}`,
    `${bytes(perSecond)}/s`,
    ...(left === 0 ? [] : [`ETA ${seconds === undefined ? '-' : duration(seconds)}`]),
    ...(from ? [from] : []),
  ].join('  ')
}

/** `84% from peers`, of what was not at this node before; undefined where nothing has come. */
export function sharesText({ store, swarm, source }: Shares): string | undefined {
  const came = swarm + source
  if (came === 0) return store > 0 ? 'all from this node' : undefined
  return `${Math.floor((100 * swarm) / came)}% from peers`
}

export function duration(seconds: number): string {
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60]
  if (hours > 0) return `${hours}h ${minutes}m`
  return minutes > 0 ? `${minutes}m ${seconds % 60}s` : `${seconds}s`
}

function bytes(count: number): string {
  return prettyBytes(count, { binary: true, minimumFractionDigits: 1, maximumFractionDigits: 1 })
}

/** Counts one download, and shows it if `shown`. */
export class Progress {
  readonly #clock: Clock
  readonly #name: string
  readonly #meter: Meter
  readonly #bar: SingleBar | undefined
  #total = 0
  #done = 0
  #shares: Shares | undefined
  #waiting: string | undefined

  constructor(name: string, shown: boolean, clock: Clock, stream: Terminal = process.stderr) {
    this.#clock = clock
    this.#name = name
    this.#meter = new Meter(clock.now())
    this.#bar = shown ? this.#makeBar(stream) : undefined
  }

  /** Bytes that were not here before. */
  get fresh(): number {
    return this.#meter.total
  }

  /** The node is not ready yet. */
  waiting(why: string): void {
    this.#waiting = why
    if (this.#bar && !this.#bar.isActive) this.#bar.start(1, 0)
    this.#bar?.update(0)
  }

  total(bytes: number): void {
    this.#waiting = undefined
    this.#bar?.stop()
    this.#total = bytes
    this.#bar?.start(bytes, 0)
  }

  kept(bytes: number): void {
    this.#done += bytes
    this.#bar?.update(this.#done)
  }

  came(bytes: number): void {
    this.#done += bytes
    this.#meter.add(bytes, this.#clock.now())
    this.#bar?.update(this.#done)
  }

  shares(shares: Shares | undefined): void {
    this.#shares = shares
  }

  /** Nothing of it stays on the screen: what comes next says how it ended. */
  end(): void {
    this.#bar?.stop()
  }

  #makeBar(stream: Terminal): SingleBar {
    return new SingleBar(
      barOptions(
        stream,
        (options, { progress }) =>
          this.#waiting ?? lineOf(this.#figures(), Format.BarFormat(progress, { ...options, barsize: 20 })),
      ),
    )
  }

  #figures(): Figures {
    return {
      name: this.#name,
      total: this.#total,
      done: this.#done,
      perSecond: this.#meter.perSecond(this.#clock.now()),
      shares: this.#shares,
    }
  }
}
