/** Long tests, each with a report: what the quick forms in `scripts/test` try for seconds, for as long as it is worth. */
import { parseArgs } from 'node:util'
import { failing, within } from './lib/options.ts'
import { fuzzMessages, fuzzRequests } from './soaks/fuzz.ts'

const help = `usage: scripts/soak fuzz [--messages N] [--requests N] [--seed N]

fuzz   gives every reader of the code mutated messages, and a running node mutated requests, and looks for anything
       but an answer or a refusal: crashes, hangs, growth. Default: 1,000,000 messages, 100,000 requests, seed 1.
       A failure is printed with its seed and the smallest input that was found.`

await failing('scripts/soak', help, async (args) => {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      messages: { type: 'string', default: '1000000' },
      requests: { type: 'string', default: '100000' },
      seed: { type: 'string', default: '1' },
    },
  })
  if (positionals.join(' ') !== 'fuzz') {
    throw Object.assign(new Error('name one soak: fuzz'), { code: 'ERR_PARSE_ARGS_UNEXPECTED_POSITIONAL' })
  }
  const seed = within(values.seed, '--seed', 0, 2 ** 31 - 1)
  const messages = within(values.messages, '--messages', 0, 1e9)
  const requests = within(values.requests, '--requests', 0, 1e8)
  if (messages > 0) fuzzMessages(messages, seed)
  if (requests > 0) await fuzzRequests(requests, seed)
})
