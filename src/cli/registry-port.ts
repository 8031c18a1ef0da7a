/** The port of a node that gives content, for commands that were told its admin port. */
import type { Command } from 'commander'
import { nodeSchema } from '../admin/view.ts'
import { loadOne } from '../config/load.ts'
import { type Address, formatAddress, isLoopback, parseAddress } from '../listen.ts'
import { refuseStranger } from '../local/stranger.ts'
import { clientOf } from './client-flags.ts'
import type { Context } from './context.ts'
import { CommandError } from './exit.ts'
import { flagsOf } from './flags.ts'

/**
 * `http://127.0.0.1:4880`, as the node says at its admin port.
 * @param believe what comes from there becomes files that root runs @throws {CommandError} @throws {Failure} `forbidden`
 */
export async function registryOf(command: Command, context: Context, { believe = false } = {}): Promise<string> {
  const admin = loadOne('admin-addr', flagsOf(command, ['admin-addr']), context.variables, context.host)!
  if (believe) await refuseStranger(`http://${formatAddress(admin)}`)
  const { addresses } = await clientOf(command, context).get('/api/v1/node', nodeSchema)
  const registry = parseAddress(addresses.registry)
  if (!registry) throw new CommandError(`the node says that its registry port is at ${addresses.registry}`)
  return `http://${formatAddress(reachable(registry, admin))}`
}

/**
 * `ghcr.io/org/app` of `localhost:4880/ghcr.io/org/app`: engines are taught to name the node so, and the node knows no
 * registry of its own name. Any other name stays as it is.
 * @param base what {@link registryOf} says
 */
export function withoutNode(image: string, base: string): string {
  const own = parseAddress(base.replace('http://', ''))
  if (!own) return image
  const hosts = isLoopback(own.host) ? [own.host, 'localhost', '127.0.0.1', '::1'] : [own.host]
  const prefix = hosts
    .map((host) => `${formatAddress({ host, port: own.port })}/`)
    .find((each) => image.startsWith(each))
  return image.slice(prefix?.length ?? 0)
}

function reachable(registry: Address, admin: Address): Address {
  const everywhere = registry.host === '0.0.0.0' || registry.host === '::'
  if (everywhere) return { ...registry, host: admin.host }
  if (isLoopback(registry.host) && !isLoopback(admin.host)) {
    throw new CommandError(`the node at ${admin.host} gives content to its own host only; ask the node of this host`)
  }
  return registry
}
