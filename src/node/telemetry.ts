/** What a node tells of itself, put together: metrics, logs, what went wrong lately, traces. */
import { buildInfo } from '../build-info.ts'
import type { Clock } from '../clock.ts'
import type { Settings } from '../config/settings.ts'
import { Recent } from '../telemetry/faults.ts'
import type { Fields, Log, LogLevel } from '../telemetry/log.ts'
import { LogLevels } from '../telemetry/log-level.ts'
import { createMetrics, type Metrics } from '../telemetry/metrics.ts'
import { createLog } from '../telemetry/pino.ts'
import { Tracing } from '../tracing/tracing.ts'

export interface NodeTelemetry {
  readonly metrics: Metrics
  readonly recent: Recent
  readonly log: Log
  readonly levels: LogLevels
}

export function telemetryOf(settings: Pick<Settings, 'log'>, clock: Clock): NodeTelemetry {
  const metrics = createMetrics()
  metrics.buildInfo.set({ version: buildInfo.version, commit: buildInfo.commit, bun: Bun.version }, 1)
  const recent = new Recent(clock)
  const written = (level: LogLevel, message: string, fields?: Fields) => {
    metrics.logLines.inc({ level })
    recent.add(level, message, fields)
  }
  const log = createLog({ ...settings.log, written, lost: () => metrics.logLinesLost.inc() })
  return { metrics, recent, log, levels: new LogLevels(log, clock) }
}

/** Undefined where nothing is traced: then nothing of it is loaded either. */
export async function tracingOf(
  { trace, node }: Settings,
  id: string,
  clock: Clock,
  log: Log,
): Promise<Tracing | undefined> {
  if (trace.endpoint === undefined) return undefined
  const { createTraces } = await import('../telemetry/otel.ts')
  const { version } = buildInfo
  return new Tracing(createTraces({ endpoint: trace.endpoint, version, node: id, zone: node.zone, clock, log }), clock)
}
