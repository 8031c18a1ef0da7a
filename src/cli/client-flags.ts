/** How commands that talk to a node find it: the same two flags on each. */
import type { Command } from 'commander'
import { loadOne, readToken } from '../config/load.ts'
import { variableOf } from '../config/table.ts'
import { places } from '../install/places.ts'
import type { Address } from '../listen.ts'
import { AdminClient } from './admin-client.ts'
import type { Context } from './context.ts'
import { addFlags, flagsOf } from './flags.ts'

const addressFlag = ['admin-addr'] as const

export function addClientFlags(command: Command): Command {
  return addFlags(command, addressFlag).option('--token-file <file>', 'bearer token of the admin port')
}

/** A client for the node that the flags, or else the variables, name; or for the one at `known`. @throws {ConfigError} */
export function clientOf(command: Command, { variables, host }: Context, known?: Address): AdminClient {
  const address = known ?? loadOne('admin-addr', flagsOf(command, addressFlag), variables, host)!
  const { tokenFile } = command.opts<{ tokenFile?: string }>()
  const file = tokenFile ?? loadOne('admin-token-file', {}, variables, host)
  const label = tokenFile === undefined ? variableOf('admin-token-file') : '--token-file'
  const token = file === undefined ? undefined : { secret: readToken(file, label, host), file }
  return new AdminClient({ address, token, service: host.exists(places.unit) })
}
