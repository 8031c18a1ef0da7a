/** argv -> command -> exit code. */
import { createInterface } from 'node:readline/promises'
import type { Context } from './cli/context.ts'
import { run } from './cli/program.ts'
import { StandardOutput } from './cli/standard-output.ts'
import { supervised } from './cli/supervised.ts'
import { systemClock } from './clock.ts'
import { thisHost } from './config/host.ts'
import { notifier, watchdogMs } from './notify.ts'
import { printable } from './printable.ts'
import { beginSparing } from './small-heap.ts'

const args = process.argv.slice(2)
if (args[0] === 'up') beginSparing(args)

const signals = ['SIGTERM', 'SIGINT'] as const

const output = new StandardOutput(process.stdout)
// What cannot be said there is lost; without a listener it would end the process, which may be a node.
process.stderr.on('error', () => {})

const context: Context = {
  variables: process.env,
  host: thisHost,
  clock: systemClock,
  screen: process.stdout.isTTY
    ? {
        size: () => ({ columns: process.stdout.columns, rows: process.stdout.rows }),
        write: (text) => output.print(text),
      }
    : undefined,
  out: (text) => output.print(`${printable(text)}\n`),
  pour: (bytes) => output.pour(bytes),
  err: (text) => void process.stderr.write(`${printable(text)}\n`),
  async ask(question) {
    if (!process.stdin.isTTY) return undefined
    const terminal = createInterface({ input: process.stdin, output: process.stdout })
    try {
      return await terminal.question(printable(question))
    } finally {
      terminal.close()
    }
  },
  // Loaded when it is needed: `shoal version` should not wait for libp2p.
  start: async (settings, ending) => {
    const node = await (await import('./node/node.ts')).startNode(settings, ending)
    const tell = notifier(process.env)
    return tell ? supervised(node, { tell, watchdogMs: watchdogMs(process.env, process.pid) }, systemClock) : node
  },
  onReaderGone: (listener) => output.onGone(listener),
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

const code = await run(args, context)
const lost = await output.lost()
if (lost !== undefined) context.err(`shoal: ${lost}`)
process.exit(code === 0 && lost !== undefined ? 1 : code)
