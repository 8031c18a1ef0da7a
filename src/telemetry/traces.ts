/**
 * What a pull does on its way, as spans of time that belong together across nodes (OpenTelemetry, W3C Trace Context).
 * Off by default, and then there is none of this: what is traced is wrapped in the composition root, or is not.
 */
export type Facts = Readonly<Record<string, string | number | boolean | undefined>>

/** Who asks, who answers, or neither. */
export type SpanKind = 'client' | 'server' | 'internal'

export interface Span {
  note(facts: Facts): void
  /** Whatever `work` does and sets off, later too, is below this span. */
  within<T>(work: () => T): T
  /** Once; with what it failed with, where it did, and how long ago, ms, where that was not now. */
  end(error?: unknown, ago?: number): void
}

export interface Traces {
  /** Below the span that the caller is within; the first of a trace where there is none. */
  begin(name: string, kind: SpanKind, facts?: Facts): Span
  /** What says to another node which span the caller is within, for a header `traceparent`; undefined: none. */
  carried(): string | undefined
  /** Runs `work` below a span of whoever asked, as that header names it; below none if it names none. */
  continued<T>(traceparent: string | null | undefined, work: () => T): T
  /** What ended is sent, in a bounded time. */
  close(): Promise<void>
}

/** A span for as long as a promise takes. `facts` of what came of it. */
export async function spanned<T>(
  span: Span,
  work: () => Promise<T>,
  facts: (result: T) => Facts = () => ({}),
): Promise<T> {
  try {
    const result = await span.within(work)
    span.note(facts(result))
    span.end()
    return result
  } catch (error) {
    span.end(error)
    throw error
  }
}
