/**
 * {@link Traces} by OpenTelemetry's own library, sent to a collector as OTLP in JSON over HTTP. Loaded only where there is
 * an endpoint.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import { hostname } from 'node:os'
import { SpanKind as Kind, type Span as OtelSpan, ROOT_CONTEXT, SpanStatusCode, trace } from '@opentelemetry/api'
import { type ExportResult, ExportResultCode, parseTraceParent } from '@opentelemetry/core'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http'
import { resourceFromAttributes } from '@opentelemetry/resources'
import { BatchSpanProcessor, type ReadableSpan, type SpanExporter, TracerProvider } from '@opentelemetry/sdk-trace'
import type { Clock } from '../clock.ts'
import { Failure } from '../failure.ts'
import type { Log } from './log.ts'
import { Seldom } from './seldom.ts'
import type { Facts, Span, SpanKind, Traces } from './traces.ts'

export interface TracesInit {
  /** Of a collector, with its path. */
  readonly endpoint: string
  readonly version: string
  readonly node: string
  readonly zone: string | undefined
  readonly clock: Clock
  readonly log: Log
}

const times = {
  /** Spans are sent together that ended within so long, ms. */
  batch: 1_000,
  /** The collector may take so long, and at the node's end no longer than that. */
  export: 5_000,
  close: 2_000,
} as const

/** Where the caller is. */
interface Place {
  readonly context: typeof ROOT_CONTEXT
  readonly traceparent: string | undefined
}

const nowhere: Place = { context: ROOT_CONTEXT, traceparent: undefined }
const kinds = { client: Kind.CLIENT, server: Kind.SERVER, internal: Kind.INTERNAL } as const

export function createTraces({ endpoint, version, node, zone, clock, log }: TracesInit): Traces {
  const exporter = new Telling(
    new OTLPTraceExporter({ url: endpoint, timeoutMillis: times.export }),
    endpoint,
    clock,
    log,
  )
  const processor = new BatchSpanProcessor({
    exporter,
    scheduledDelayMillis: times.batch,
    exportTimeoutMillis: times.export,
  })
  const provider = new TracerProvider({
    resource: resourceFromAttributes({
      'service.name': 'shoal',
      'service.version': version,
      'service.instance.id': node,
      'host.name': hostname(),
      ...(zone === undefined ? {} : { 'shoal.zone': zone }),
    }),
    spanProcessors: [processor],
  })
  const tracer = provider.getTracer('shoal', version)
  const here = new AsyncLocalStorage<Place>()
  return {
    begin(name: string, kind: SpanKind, facts: Facts = {}): Span {
      const { context } = here.getStore() ?? nowhere
      const span = tracer.startSpan(name, { kind: kinds[kind], attributes: attributesOf(facts) }, context)
      const place = { context: trace.setSpan(context, span), traceparent: headerOf(span) }
      return {
        note: (more) => void span.setAttributes(attributesOf(more)),
        within: (work) => here.run(place, work),
        end(error, ago) {
          if (error !== undefined) fail(span, error)
          span.end(ago === undefined ? undefined : clock.wall() - ago)
        },
      }
    },
    carried: () => here.getStore()?.traceparent,
    continued<T>(traceparent: string | null | undefined, work: () => T): T {
      const from = traceparent ? parseTraceParent(traceparent) : null
      if (!from) return here.run(nowhere, work)
      const context = trace.setSpanContext(ROOT_CONTEXT, { ...from, isRemote: true })
      return here.run({ context, traceparent: traceparent ?? undefined }, work)
    },
    async close() {
      const late = Promise.withResolvers<void>()
      const cancel = clock.after(times.close, late.resolve)
      await Promise.race([provider.shutdown().catch(() => {}), late.promise])
      cancel()
    },
  }
}

function headerOf(span: OtelSpan): string {
  const { traceId, spanId, traceFlags } = span.spanContext()
  return `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, '0')}`
}

function attributesOf(facts: Facts): Record<string, string | number | boolean> {
  return Object.fromEntries(
    Object.entries(facts).flatMap(([key, value]) => (value === undefined ? [] : [[`shoal.${key}`, value]])),
  )
}

function fail(span: OtelSpan, error: unknown): void {
  const { code, message } = Failure.from(error)
  // That a client went away is nobody's error.
  if (code !== 'cancelled') span.setStatus({ code: SpanStatusCode.ERROR, message })
  span.setAttribute('shoal.failure', code)
}

/** Says in the log when nobody takes the spans; they are lost then. */
class Telling implements SpanExporter {
  readonly #to: SpanExporter
  readonly #endpoint: string
  readonly #log: Log
  readonly #seldom: Seldom

  constructor(to: SpanExporter, endpoint: string, clock: Clock, log: Log) {
    this.#to = to
    this.#endpoint = endpoint
    this.#log = log
    this.#seldom = new Seldom(clock)
  }

  export(spans: ReadableSpan[], done: (result: ExportResult) => void): void {
    this.#to.export(spans, (result) => {
      if (result.code === ExportResultCode.FAILED) this.#tell(spans.length, result.error)
      done(result)
    })
  }

  shutdown(): Promise<void> {
    return this.#to.shutdown()
  }

  #tell(spans: number, error: Error | undefined): void {
    this.#seldom.tell('traces', (others) =>
      this.#log.warn('traces are lost: nobody takes them at --trace-endpoint', {
        endpoint: this.#endpoint,
        spans,
        ...(error ? { error } : {}),
        ...others,
      }),
    )
  }
}
