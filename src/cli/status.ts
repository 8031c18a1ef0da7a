import type { Command } from 'commander'
import { z } from 'zod'
import { blobPageSchema, memberSchema, nodeSchema, transfersSchema } from '../admin/view.ts'
import { loadOne, readToken } from '../config/load.ts'
import { flagOf } from '../config/table.ts'
import { AdminClient } from './admin-client.ts'
import type { Context } from './context.ts'
import { addFlags, flagsOf } from './flags.ts'
import { renderStatus } from './status-text.ts'

const wanted = ['admin-addr', 'admin-token-file'] as const

/** `shoal status` */
export function status(program: Command, context: Context): void {
  const command = program.command('status').description('show this node, its members, its blobs and live transfers')
  addFlags(command, wanted)
    .option('--json', 'as JSON, as the API has it')
    .action(async (options: { json?: boolean }) => {
      const client = clientFor(command, context)
      const [node, { members }, blobs, transfers] = await Promise.all([
        client.get('/api/v1/node', nodeSchema),
        client.get('/api/v1/members', z.object({ members: z.array(memberSchema) })),
        client.get('/api/v1/blobs?limit=10', blobPageSchema),
        client.get('/api/v1/transfers', transfersSchema),
      ])
      const facts = { node, members, blobs, transfers }
      context.out(options.json ? JSON.stringify(facts, null, 2) : renderStatus(facts))
    })
}

/** For every command that talks to a node. @throws {ConfigError} */
export function clientFor(command: Command, context: Context): AdminClient {
  const { variables, host } = context
  const flags = flagsOf(command, wanted)
  const file = loadOne('admin-token-file', flags, variables, host)
  const token = file === undefined ? undefined : readToken(file, flagOf('admin-token-file'), host)
  return new AdminClient(loadOne('admin-addr', flags, variables, host)!, token)
}
