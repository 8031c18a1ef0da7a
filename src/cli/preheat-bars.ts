/** A preheat at a terminal: a bar for each node, as many as one looks at, and one for all of them. */
import { Format, MultiBar, type SingleBar } from 'cli-progress'
import type { PreheatFacts } from '../admin/preheats.ts'
import { barOptions, type Terminal } from '../terminal-lines.ts'
import { type BarLine, barText, countsText, noteOf, shortNode } from './preheat-text.ts'

const mostBars = 16

export class PreheatBars {
  readonly #bars: MultiBar
  readonly #lines = new Map<string, { bar: SingleBar; line: BarLine }>()

  constructor(stream: Terminal = process.stderr) {
    this.#bars = new MultiBar(
      barOptions(stream, (options, { progress }, { key }: { key: string }) => {
        const known = this.#lines.get(key)
        const bar = Format.BarFormat(progress, { ...options, barsize: 20 })
        return known ? barText(known.line, bar) : ''
      }),
    )
  }

  show(facts: PreheatFacts): void {
    const { nodes, bytes, total } = facts
    for (const { node, bytes: here, total: all = 0, ...more } of nodes) {
      if (this.#lines.has(node) || this.#lines.size < mostBars) {
        this.#set(node, { name: shortNode(node), bytes: here, total: all, note: noteOf(more) })
      }
    }
    if (nodes.length > 1) this.#set('all', { name: 'all', bytes, total, note: countsText(facts) })
  }

  /** Nothing of it stays on the screen: what comes next says how it ended. */
  end(): void {
    this.#bars.stop()
  }

  #set(key: string, line: BarLine): void {
    // Nothing of nothing would be drawn as all of it.
    const total = Math.max(1, line.total)
    const bar = this.#lines.get(key)?.bar ?? this.#bars.create(total, 0, { key })
    this.#lines.set(key, { bar, line })
    bar.setTotal(total)
    bar.update(line.bytes, { key })
  }
}
