/** What a node does for hosts that mount layers before they are here, put together. */
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Content } from '../content/content.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { Calls } from '../wire/calls.ts'
import { indexCall, madeCall, readsCall, statementOf } from './calls.ts'
import { type IndexesDeps, LayerIndexes } from './indexes.ts'
import { LayerReads } from './layer-reads.ts'
import { Mounted } from './mounted.ts'
import { Tending, type TendingDeps } from './tending.ts'

export interface LazyDeps extends Omit<IndexesDeps, 'dir'>, Pick<TendingDeps, 'busy' | 'placeOf'> {
  readonly dataDir: string
  readonly calls: Calls
  /** Without regard to who asks. */
  readonly content: Content
  readonly metrics: IndexesDeps['metrics'] & Pick<Metrics, 'layerIndexes'> & ConstructorParameters<typeof Mounted>[1]
}

export class LazyLayers {
  readonly indexes: LayerIndexes
  readonly reads: LayerReads
  readonly content: Content
  /** On this host. */
  readonly mounted: Mounted
  readonly #tending: Tending
  readonly #metrics: LazyDeps['metrics']

  constructor(deps: LazyDeps) {
    const { dataDir, calls, log, content, metrics } = deps
    const dir = join(dataDir, 'making')
    try {
      rmSync(dir, { recursive: true, force: true })
      mkdirSync(dir, { recursive: true, mode: 0o700 })
    } catch (error) {
      log.warn('there is no folder to make indexes of layers in', { dir, error: (error as Error).message })
    }
    const indexes = new LayerIndexes({ ...deps, dir })
    this.indexes = indexes
    this.reads = new LayerReads({ ...deps, owners: (layer) => indexes.finding.owners(layer) })
    this.#tending = new Tending({ ...deps, indexes })
    this.mounted = new Mounted(deps.clock, metrics)
    this.content = content
    this.#metrics = metrics
    calls.on(indexCall, (asked) => indexes.answer(asked))
    calls.on(madeCall, async ({ repository, layer, ...made }, sender) => {
      await indexes.told({ repository, kind: 'blob', digest: layer }, statementOf(layer, made), sender)
      return {}
    })
    calls.on(readsCall, async ({ layer, start }) => ({ reads: this.reads.answer(layer, start) }))
  }

  start(): void {
    this.#tending.start()
  }

  /** A blob is here, or more of it than before. */
  readonly heard: Tending['heard'] = (digest) => this.#tending.heard(digest)

  /** Looks at once whether there is something to do. */
  tend(): Promise<void> {
    return this.#tending.tend()
  }

  /** Sets gauges whose values are looked up rather than counted. */
  measure(): void {
    this.mounted.measure()
    const { indexed, making, unindexed } = this.indexes.facts()
    const { layerIndexes } = this.#metrics
    layerIndexes.set({ state: 'here' }, indexed.filter(({ here }) => here).length)
    layerIndexes.set({ state: 'known' }, indexed.filter(({ here }) => !here).length)
    layerIndexes.set({ state: 'making' }, making.length)
    layerIndexes.set({ state: 'cannot' }, unindexed.length)
  }

  /** What others ask is answered until the network closes, and the ledger after it. */
  async close(): Promise<void> {
    // What is made unasked is waited for by the one and ended by the other.
    await Promise.all([this.#tending.close(), this.indexes.close()])
  }
}
