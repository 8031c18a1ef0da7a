/**
 * A collector of traces: takes OTLP in JSON over HTTP, and prints each request's spans as a line. Run as a program on a
 * host of a lab; {@link spansIn} reads what it printed.
 */
import { z } from 'zod'

const attributes = z.array(z.object({ key: z.string(), value: z.record(z.string(), z.unknown()) }))
const body = z.object({
  resourceSpans: z.array(
    z.object({
      resource: z.object({ attributes }),
      scopeSpans: z.array(
        z.object({
          spans: z.array(
            z.object({
              name: z.string(),
              kind: z.number(),
              traceId: z.string(),
              spanId: z.string(),
              parentSpanId: z.string().optional(),
              status: z.object({ code: z.number().optional() }),
              attributes,
            }),
          ),
        }),
      ),
    }),
  ),
})

const spanSchema = z.object({
  name: z.string(),
  kind: z.number(),
  trace: z.string(),
  id: z.string(),
  parent: z.string().optional(),
  /** 2 where it failed. */
  status: z.number().optional(),
  facts: z.record(z.string(), z.unknown()),
  /** Of the process that it is from. */
  resource: z.record(z.string(), z.unknown()),
})
export type CollectedSpan = z.infer<typeof spanSchema>

/** @throws when it is not what OTLP has */
export function spansOf(request: unknown): CollectedSpan[] {
  return body.parse(request).resourceSpans.flatMap(({ resource, scopeSpans }) =>
    scopeSpans.flatMap(({ spans }) =>
      spans.map(({ name, kind, traceId, spanId, parentSpanId, status, attributes }) => ({
        ...{ name, kind, trace: traceId, id: spanId, status: status.code },
        ...(parentSpanId === undefined ? {} : { parent: parentSpanId }),
        facts: record(attributes),
        resource: record(resource.attributes),
      })),
    ),
  )
}

/** Each attribute's value is an object with the one key of its type. */
function record(list: z.infer<typeof attributes>): Record<string, unknown> {
  return Object.fromEntries(list.map(({ key, value }) => [key, Object.values(value)[0]]))
}

export function spansIn(printed: string): CollectedSpan[] {
  const lines = printed.split('\n').filter((line) => line.startsWith('['))
  return lines.flatMap((line) => z.array(spanSchema).parse(JSON.parse(line)))
}

export const collectorPort = 4318
export const collectorProgram = [process.execPath, import.meta.path]

if (import.meta.main) {
  Bun.serve({
    port: collectorPort,
    async fetch(request) {
      console.log(JSON.stringify(spansOf(await request.json())))
      return Response.json({})
    },
  })
}
