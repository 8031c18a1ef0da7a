/**
 * Names that others choose, as labels of metrics. Each makes a series that is kept for as long as the process lives, and
 * clients may name a million registries: past so many, what is new counts as one.
 */
import type { Counter, IncreaseDataWithExemplar, LabelValues } from 'prom-client'

export class FewNames {
  readonly #most: number
  readonly #rest: string
  readonly #names = new Set<string>()

  constructor(most: number, rest: string) {
    this.#most = most
    this.#rest = rest
  }

  of(name: string): string {
    if (this.#names.has(name)) return name
    if (this.#names.size >= this.#most) return this.#rest
    this.#names.add(name)
    return name
  }
}

/** Has `counter` count under these names; it is told of its source each time. */
export function withFewSources<L extends string>(counter: Counter<L | 'source'>, names: FewNames) {
  type Labels = LabelValues<L | 'source'>
  // prom-client makes the method anew for each counter, so a class of our own would have it overwritten.
  const inc = counter.inc.bind(counter) as (labels: Labels, value?: number) => void
  counter.inc = (labels?: number | Labels | IncreaseDataWithExemplar<L | 'source'>, value?: number) => {
    if (typeof labels !== 'object' || !('source' in labels)) throw new TypeError('it is not said of which source')
    inc({ ...labels, source: names.of(String(labels.source)) } as Labels, value)
  }
  return counter
}
