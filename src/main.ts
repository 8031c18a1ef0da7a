/** argv -> command -> exit code. */
import { createInterface } from 'node:readline/promises'
import type { Context } from './cli/context.ts'
import { run } from './cli/program.ts'
import { supervised } from './cli/supervised.ts'
import { systemClock } from './clock.ts'
import { thisHost } from './config/host.ts'
import { notifier, watchdogMs } from './notify.ts'

const signals = ['SIGTERM', 'SIGINT'] as const

/** What `shoal ... | head` leaves behind is no failure: what is printed goes nowhere, and whoever prints on is told. */
const readerGone = new Set<() => void>()
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
  for (const listener of readerGone) listener()
})

const context: Context = {
  variables: process.env,
  host: thisHost,
  clock: systemClock,
  screen: process.stdout.isTTY
    ? {
        size: () => ({ columns: process.stdout.columns, rows: process.stdout.rows }),
        write: (text) => void process.stdout.write(text),
      }
    : undefined,
  out: (text) => void process.stdout.write(`${text}\n`),
  pour: (bytes) =>
    new Promise((resolve, reject) => {
      process.stdout.write(bytes, (error) => (error ? reject(error) : resolve()))
    }),
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
  start: async (settings) => {
    const node = await (await import('./node.ts')).startNode(settings)
    const tell = notifier(process.env)
    return tell ? supervised(node, { tell, watchdogMs: watchdogMs(process.env, process.pid) }, systemClock) : node
  },
  onReaderGone(listener) {
    readerGone.add(listener)
    return () => void readerGone.delete(listener)
  },
  onReload(listener) {
    process.on('SIGHUP', listener)
    return () => void process.off('SIGHUP', listener)
  },
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
