/** Spans as a list: what began below what, and how it ended. Carried between nodes as their numbers. */
import { AsyncLocalStorage } from 'node:async_hooks'
import type { Facts, Span, SpanKind, Traces } from '../../src/telemetry/traces.ts'

export interface ToldSpan {
  readonly name: string
  readonly kind: SpanKind
  /** Its number is its place in the list. */
  readonly parent: number | undefined
  facts: Facts
  ended: boolean
  ago: number | undefined
  error: unknown
}

export class FakeTraces implements Traces {
  readonly spans: ToldSpan[] = []
  readonly #here = new AsyncLocalStorage<number | undefined>()

  begin(name: string, kind: SpanKind, facts: Facts = {}): Span {
    const parent = this.#here.getStore()
    const told: ToldSpan = { name, kind, parent, facts, ended: false, ago: undefined, error: undefined }
    const number = this.spans.push(told) - 1
    return {
      note: (more) => {
        told.facts = { ...told.facts, ...more }
      },
      within: (work) => this.#here.run(number, work),
      end(error, ago) {
        if (told.ended) throw new Error(`the span "${name}" was ended twice`)
        Object.assign(told, { ended: true, error, ago })
      },
    }
  }
  carried(): string | undefined {
    return this.#here.getStore()?.toString()
  }
  continued<T>(traceparent: string | null | undefined, work: () => T): T {
    return this.#here.run(traceparent ? Number(traceparent) : undefined, work)
  }
  async close(): Promise<void> {}

  /** `pull > GET blob > bring a blob`, for each span, in the order in which they began. */
  get paths(): string[] {
    const path = (span: ToldSpan): string =>
      span.parent === undefined ? span.name : `${path(this.spans[span.parent]!)} > ${span.name}`
    return this.spans.map(path)
  }
  named(name: string): ToldSpan {
    const found = this.spans.filter((span) => span.name === name)
    if (found.length !== 1) throw new Error(`there are ${found.length} spans "${name}"`)
    return found[0]!
  }
}
