import { type Command, InvalidArgumentError } from 'commander'
import { z } from 'zod'
import { preheatsSchema } from '../admin/preheats.ts'
import { banSchema, blobPageSchema, memberSchema, nodeSchema, transfersSchema } from '../admin/view.ts'
import { duration } from '../config/values.ts'
import { mountedSchema } from '../lazy/mounted.ts'
import type { AdminClient } from './admin-client.ts'
import { addClientFlags, clientOf } from './client-flags.ts'
import type { Context } from './context.ts'
import { statusLine } from './status-line.ts'
import { renderStatus, type StatusFacts } from './status-text.ts'
import { watch } from './watch.ts'

const usualMs = 2_000
/** A node answers in milliseconds, but it has other things to do. */
const leastMs = 100

/** `shoal status` */
export function status(program: Command, context: Context): void {
  const command = program.command('status').description('show this node, its members, its blobs and live transfers')
  addClientFlags(command)
    .option('--watch', 'go on showing it until Ctrl-C: in place on a terminal, a line each time elsewhere')
    .option('--interval <time>', `how often, with --watch (default: ${usualMs / 1000}s)`, checked)
    .option('--json', 'as JSON, as the API has it; with --watch, an object a line')
    .action(async ({ json, watch: again, interval }: { json?: boolean; watch?: boolean; interval?: number }) => {
      if (interval !== undefined && !again) command.error('shoal: --interval wants --watch')
      const client = clientOf(command, context)
      const look = () => factsFrom(client)
      if (again) {
        const line = (facts: StatusFacts) => (json ? JSON.stringify(facts) : statusLine(facts, context.clock.wall()))
        const watched = { look, page: renderStatus, line, everyMs: interval ?? usualMs }
        return watch(watched, context, json ? undefined : context.screen)
      }
      const facts = await look()
      context.out(json ? JSON.stringify(facts, null, 2) : renderStatus(facts))
    })
}

async function factsFrom(client: AdminClient): Promise<StatusFacts> {
  const [node, { members }, blobs, transfers, { bans }, preheats, mounted] = await Promise.all([
    client.get('/api/v1/node', nodeSchema),
    client.get('/api/v1/members', z.object({ members: z.array(memberSchema) })),
    client.get('/api/v1/blobs?limit=10', blobPageSchema),
    client.get('/api/v1/transfers', transfersSchema),
    client.get('/api/v1/bans', z.object({ bans: z.array(banSchema) })),
    // An older node has none to tell of, and one that knows no scheduler cannot say.
    client.get('/api/v1/preheats?limit=20', preheatsSchema).catch(() => undefined),
    client.get('/api/v1/mounts', mountedSchema).catch(() => undefined),
  ])
  return { node, members, blobs, transfers, bans, ...preheats, ...(mounted ? { mounted } : {}) }
}

function checked(text: string): number {
  const ms = duration.safeParse(text).data
  if (ms !== undefined && ms >= leastMs) return ms
  throw new InvalidArgumentError(`Expected a duration of ${leastMs}ms or more, such as 1s or 500ms.`)
}
