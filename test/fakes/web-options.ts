/** What a client of servers of files and objects needs beside the server, with little patience. */
import { seededRandom, systemClock } from '../../src/clock.ts'
import type { BackendOptions } from '../../src/home/backends/backend-of.ts'
import { silentLog } from '../../src/telemetry/log.ts'
import { createMetrics } from '../../src/telemetry/metrics.ts'

export function webOptions(more: Partial<BackendOptions> = {}): BackendOptions {
  return {
    env: {},
    clock: systemClock,
    random: seededRandom(1),
    log: silentLog,
    metrics: createMetrics(),
    retry: { attempts: 3, firstMs: 1, maxMs: 5, patienceMs: 10 },
    timeouts: { headersMs: 300, idleMs: 300 },
    ...more,
  }
}
