/** A preheat at a terminal: a bar for each node, as many as one looks at, and one for all of them. */
import { Format, MultiBar, type SingleBar } from 'cli-progress'
import type { PreheatFacts } from '../admin/preheats.ts'
import { barText, countsText, shortNode } from './preheat-text.ts'

const mostBars = 16

interface Line {
  readonly name: string
  readonly state: PreheatFacts['state']
  readonly reason?: string | undefined
}

export class PreheatBars {
  readonly #bars: MultiBar
  readonly #lines = new Map<string, { bar: SingleBar; line: Line }>()

  constructor() {
    this.#bars = new MultiBar({
      stream: process.stderr,
      clearOnComplete: true,
      // The cursor would stay away if the process were killed.
      hideCursor: false,
      linewrap: false,
      fps: 5,
      format: (options, { progress, value, total }, { key }: { key: string }) => {
        const known = this.#lines.get(key)
        const bar = Format.BarFormat(progress, { ...options, barsize: 20 })
        return known ? barText(known.line, bar, value, total) : ''
      },
    })
  }

  show(facts: PreheatFacts): void {
    const { nodes, state } = facts
    for (const { node, state, reason, bytes, total = 0 } of nodes) {
      if (this.#lines.has(node) || this.#lines.size < mostBars) {
        this.#set(node, { name: shortNode(node), state, reason }, bytes, total)
      }
    }
    if (nodes.length > 1) {
      const running = state === 'running' || state === 'pending'
      const all: Line = { name: 'all', state: running ? 'pending' : state, reason: countsText(facts) }
      this.#set('all', all, facts.bytes, facts.total)
    }
  }

  /** Nothing of it stays on the screen: what comes next says how it ended. */
  end(): void {
    this.#bars.stop()
  }

  #set(key: string, line: Line, bytes: number, total: number): void {
    const known = this.#lines.get(key)
    const bar = known?.bar ?? this.#bars.create(total, 0, { key })
    this.#lines.set(key, { bar, line })
    bar.setTotal(total)
    bar.update(bytes, { key })
  }
}
