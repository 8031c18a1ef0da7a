/** A registry source for tests: over fake registries, with a clock that hurries, and what it logged and counted. */
import { type Clock, seededRandom, systemClock } from '../../src/clock.ts'
import { type Repository, repositoryOf } from '../../src/oci/reference.ts'
import { RegistrySource, type RegistrySourceOptions } from '../../src/source/registry-source.ts'
import type { Fields, Log } from '../../src/telemetry/log.ts'
import { createMetrics } from '../../src/telemetry/metrics.ts'
import type { FakeRegistry } from './registry.ts'

/** A hundred times as fast as the real one; `skip` moves it on at once without ringing anything. */
export class HurriedClock implements Clock {
  /** What `after` was asked to wait, in ms. */
  readonly waits: number[] = []
  #skipped = 0

  now(): number {
    return systemClock.now() * 100 + this.#skipped
  }
  wall(): number {
    return systemClock.wall()
  }
  after(ms: number, task: () => void): () => void {
    this.waits.push(ms)
    return systemClock.after(ms / 100, task)
  }
  skip(ms: number): void {
    this.#skipped += ms
  }
}

export class RecordedLog implements Log {
  readonly lines: string[] = []
  debug = (message: string, fields?: Fields) => this.#add(message, fields)
  info = (message: string, fields?: Fields) => this.#add(message, fields)
  warn = (message: string, fields?: Fields) => this.#add(message, fields)
  error = (message: string, fields?: Fields) => this.#add(message, fields)
  child = (): Log => this
  #add(message: string, fields?: Fields): void {
    this.lines.push(fields ? `${message} ${Bun.inspect(fields)}` : message)
  }
}

export interface SourceKit {
  readonly source: RegistrySource
  readonly clock: HurriedClock
  readonly log: RecordedLog
  readonly metrics: ReturnType<typeof createMetrics>
  /** `org/app` at the first of the registries. */
  readonly repository: Repository
}

/** Ten minutes each by the hurried clock, six seconds by the real one: a test that means them sets its own. */
const patient = { headersMs: 600_000, idleMs: 600_000 }

export function sourceOver(registry: FakeRegistry, options: Partial<RegistrySourceOptions> = {}): SourceKit {
  const clock = new HurriedClock()
  const log = new RecordedLog()
  const metrics = createMetrics()
  const source = new RegistrySource({
    upstreams: new Map([[registry.host, [{ url: registry.url }]]]),
    onlyListed: true,
    clock,
    random: seededRandom(1),
    log,
    metrics,
    timeouts: patient,
    ...options,
  })
  return { source, clock, log, metrics, repository: repositoryOf(registry.host, 'org/app') }
}
