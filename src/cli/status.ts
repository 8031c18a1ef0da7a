import type { Command } from 'commander'
import { z } from 'zod'
import { banSchema, blobPageSchema, memberSchema, nodeSchema, transfersSchema } from '../admin/view.ts'
import { addClientFlags, clientOf } from './client-flags.ts'
import type { Context } from './context.ts'
import { renderStatus } from './status-text.ts'

/** `shoal status` */
export function status(program: Command, context: Context): void {
  const command = program.command('status').description('show this node, its members, its blobs and live transfers')
  addClientFlags(command)
    .option('--json', 'as JSON, as the API has it')
    .action(async (options: { json?: boolean }) => {
      const client = clientOf(command, context)
      const [node, { members }, blobs, transfers, { bans }] = await Promise.all([
        client.get('/api/v1/node', nodeSchema),
        client.get('/api/v1/members', z.object({ members: z.array(memberSchema) })),
        client.get('/api/v1/blobs?limit=10', blobPageSchema),
        client.get('/api/v1/transfers', transfersSchema),
        client.get('/api/v1/bans', z.object({ bans: z.array(banSchema) })),
      ])
      const facts = { node, members, blobs, transfers, bans }
      context.out(options.json ? JSON.stringify(facts, null, 2) : renderStatus(facts))
    })
}
