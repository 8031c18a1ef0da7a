/** argv -> command -> exit code. */
import { createInterface } from 'node:readline/promises'
import type { Context } from './cli/context.ts'
import { run } from './cli/program.ts'
import { systemClock } from './clock.ts'
import { thisHost } from './config/host.ts'

const signals = ['SIGTERM', 'SIGINT'] as const

const context: Context = {
  variables: process.env,
  host: thisHost,
  clock: systemClock,
  out: (text) => void process.stdout.write(`${text}\n`),
  err: (text) => void process.stderr.write(`${text}\n`),
  async ask(question) {
    if (!process.stdin.isTTY) return undefined
    const terminal = createInterface({ input: process.stdin, output: process.stdout })
    try {
      return await terminal.question(question)
    } finally {
      terminal.close()
    }
  },
  // Loaded when it is needed: `shoal version` should not wait for libp2p.
  start: async (settings) => (await import('./node.ts')).startNode(settings),
  onSignal(listener) {
    for (const signal of signals) process.on(signal, listener)
    return () => {
      for (const signal of signals) process.off(signal, listener)
    }
  },
}

const code = await run(process.argv.slice(2), context)
// An empty write is called back when all before it is out; a pipe may still be taking it.
await new Promise<void>((resolve) => process.stdout.write('', () => resolve()))
process.exit(code)
