/** What `shoal doctor` looks at, put together from the settings, the node and the host. */
import { networkInterfaces } from 'node:os'
import type { Command } from 'commander'
import { z } from 'zod'
import { type BanFacts, banSchema, type MemberFacts, memberSchema, type NodeFacts, nodeSchema } from '../admin/view.ts'
import { buildInfo } from '../build-info.ts'
import { isWildcard } from '../cluster/advertise.ts'
import { load } from '../config/load.ts'
import { ConfigError } from '../config/problem.ts'
import type { Settings } from '../config/settings.ts'
import type { DiskFacts } from '../doctor/disk.ts'
import { examine, type Facts } from '../doctor/examine.ts'
import type { Finding } from '../doctor/finding.ts'
import { lookAtDisk } from '../doctor/look/disk.ts'
import { lookAtEngines } from '../doctor/look/engines.ts'
import { lookAtKernel } from '../doctor/look/kernel.ts'
import { lookAtPorts } from '../doctor/look/ports.ts'
import { lookAtJoins, lookAtMembers, lookAtSources } from '../doctor/look/reach.ts'
import { lookAtSecrets } from '../doctor/look/secrets.ts'
import { fileLimit, limitsOf } from '../file-limit.ts'
import { places } from '../install/places.ts'
import { variablesOf } from '../install/settings-file.ts'
import { type Address, formatAddress, parseAddress } from '../listen.ts'
import { AdminClient } from './admin-client.ts'
import { clientOf } from './client-flags.ts'
import type { Context } from './context.ts'
import { CommandError } from './exit.ts'
import { flagsOf } from './flags.ts'

export async function findingsOn(command: Command, context: Context): Promise<Finding[]> {
  return examine(await factsOf(command, context))
}

async function factsOf(command: Command, context: Context): Promise<Facts> {
  const { settings, ...said } = settingsOf(command, context)
  const client = adminOf(command, context, said.problems.length === 0 ? settings : undefined)
  const own = await ownFacts(client)
  const { node, members } = own
  const service = context.host.exists(places.unit)
  const addresses = Object.values(networkInterfaces()).flatMap((all) => all?.map(({ address }) => address) ?? [])
  const ports = await lookAtPorts(portsOf(settings, node))
  const registry = parseAddress(node?.addresses.registry ?? '') ?? settings.registry.address
  const mirror = `http://${formatAddress(reachable(registry))}`
  const [reached, joins, sources, engines] = await Promise.all([
    lookAtMembers(members ?? [], context.clock),
    lookAtJoins(settings.p2p.join, new Set(addresses)),
    lookAtSources(settings.source, context.clock),
    lookAtEngines(mirror),
  ])
  const pid = ports.find(({ flag }) => flag === '--admin-addr')?.holder?.pid
  const limits = node && pid !== undefined ? limitsOf(pid) : undefined
  return {
    own: {
      admin: client.where,
      ...(client.tokenFile === undefined ? {} : { tokenFile: client.tokenFile }),
      bans: own.bans,
      ...(node ? { node } : {}),
      ...(own.refused === undefined ? {} : { refused: own.refused }),
      service,
      addresses,
      listenHost: settings.peer.address.host,
      build: buildInfo,
    },
    settings: said,
    ports,
    disk: diskOf(settings, node, service),
    witnesses: [...reached.values(), ...sources].flatMap(({ witness }) => witness ?? []),
    kernel: lookAtKernel(),
    files: { limit: fileLimit(limits), ofNode: limits !== undefined, service },
    engines,
    mirror,
    cluster: {
      ...lookAtSecrets(settings),
      ...(node
        ? { node: { admission: node.cluster.admission, ...(node.cluster.key ? { key: node.cluster.key } : {}) } }
        : {}),
      peerHost: settings.peer.address.host,
    },
    members: {
      ...(members ? { members } : {}),
      reached: new Map([...reached].map(([id, { of }]) => [id, of])),
      joins,
      mdns: settings.p2p.mdns,
    },
    sources: sources.map(({ of }) => of),
    seed: (node?.modes ?? settings.node.modes).includes('seed'),
  }
}

/** The settings of a node have its token; what the command line says comes before them. */
function adminOf(command: Command, context: Context, settings: Settings | undefined): AdminClient {
  if (!settings?.admin.token || command.opts<{ tokenFile?: string }>().tokenFile !== undefined) {
    return clientOf(command, context, settings && reachable(settings.admin.address))
  }
  const { address, token: secret, tokenFile: file = '' } = settings.admin
  return new AdminClient({
    address: reachable(address),
    token: { secret, file },
    service: context.host.exists(places.unit),
  })
}

/** Where this host reaches what listens there. */
function reachable(address: Address): Address {
  return isWildcard(address.host) ? { ...address, host: '127.0.0.1' } : address
}

/** A node that runs, or one that is another user's, says nothing about what this user may. */
function diskOf({ store }: Settings, node: NodeFacts | undefined, service: boolean): DiskFacts {
  const disk = lookAtDisk({
    ...store,
    ...(node ? { dataDir: node.dataDir } : {}),
    ...(node?.store.limit === undefined ? {} : { cacheBytes: node.store.limit }),
  })
  return node || service ? { ...disk, writable: true } : disk
}

/** What a node started here, or by the unit, runs with. Wrong ones are told, and the defaults stand in for them. */
function settingsOf(command: Command, { variables, host }: Context) {
  try {
    const service = readIfAllowed(places.variables, host)
    const { settings, file } = load(flagsOf(command), { ...variablesOf(service), ...variables }, host)
    return { settings, problems: [], root: host.root, ...(file === undefined ? {} : { file }) }
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    const { settings } = load({}, {}, { ...host, exists: () => false, absent: () => true })
    return { settings, problems: error.problems, root: host.root }
  }
}

/** Variables of a service may be for root alone; what they say is then not known, as that node's token is not. */
function readIfAllowed(path: string, host: Context['host']): string {
  try {
    return host.exists(path) ? host.read(path) : ''
  } catch {
    return ''
  }
}

interface Own {
  readonly node?: NodeFacts
  readonly members?: readonly MemberFacts[]
  readonly bans: readonly BanFacts[]
  readonly refused?: string
}

async function ownFacts(client: AdminClient): Promise<Own> {
  try {
    await client.withoutToken().get('/healthz', z.object({ status: z.string() }))
  } catch (error) {
    if (error instanceof CommandError) return { bans: [] }
    throw error
  }
  try {
    const [node, { members }, { bans }] = await Promise.all([
      client.get('/api/v1/node', nodeSchema),
      client.get('/api/v1/members', z.object({ members: z.array(memberSchema) })),
      client.get('/api/v1/bans', z.object({ bans: z.array(banSchema) })),
    ])
    return { node, members, bans }
  } catch (error) {
    if (error instanceof CommandError) return { bans: [], refused: error.message }
    throw error
  }
}

/** As the node says where it is, or else as the settings do; a peer port that was announced is the one it listens on. */
function portsOf({ registry, peer, p2p, admin }: Settings, node: NodeFacts | undefined) {
  const at = (flag: string, usual: Address, port: number | undefined) => ({
    flag,
    address: port === undefined || port === 0 ? usual : { ...usual, port },
  })
  const said = node?.addresses
  return [
    { flag: '--registry-addr', address: parseAddress(said?.registry ?? '') ?? registry.address },
    at('--peer-addr', peer.address, said && Number(new URL(said.peer).port)),
    at('--p2p-addr', p2p.address, Number(/\/tcp\/(\d+)/.exec(said?.p2p[0] ?? '')?.[1] ?? 0)),
    { flag: '--admin-addr', address: parseAddress(said?.admin ?? '') ?? admin.address },
  ]
}
