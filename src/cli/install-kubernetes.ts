/** `shoal install --kubernetes`: the manifests of a cluster, with the settings that the command line names. */
import { type Command, InvalidArgumentError } from 'commander'
import { Document } from 'yaml'
import { buildInfo } from '../build-info.ts'
import { backendFolders } from '../config/backend-folder.ts'
import type { Flags } from '../config/given.ts'
import type { Settings } from '../config/settings.ts'
import { flagOf } from '../config/table.ts'
import { type Copy, withSettings } from '../install/settings-file.ts'
import { decided, manifests } from '../kubernetes/manifests.ts'
import { modeOf } from '../kubernetes/pod.ts'
import { forPeers } from '../kubernetes/seed-only.ts'
import type { Context } from './context.ts'
import { CommandError } from './exit.ts'

export interface KubernetesOptions {
  readonly kubernetes?: boolean
  readonly image: string
  readonly namespace: string
  readonly seeds: number
  readonly storage: string
  readonly containerdDir: string
}

export function addKubernetesFlags(command: Command): void {
  command
    .option('--kubernetes', 'install nothing, and print manifests for kubectl: a node on each host, and seeds')
    .option('--image <image>', 'with --kubernetes: the image of shoal', `localhost/shoal:${buildInfo.version}`)
    .option('--namespace <name>', 'with --kubernetes: where all of it is', name, 'shoal')
    .option('--seeds <n>', 'with --kubernetes: how many nodes read from registries', count, 3)
    .option('--storage <size>', 'with --kubernetes: the disk of each of those, as 100Gi', quantity, '100Gi')
    .option(
      '--containerd-dir <dir>',
      'with --kubernetes: where containerd has its settings on the hosts',
      folder,
      '/etc/containerd',
    )
}

/** @param settingsOf what a node would make of a settings file and its mode, so that nothing is printed that cannot start */
export function printManifests(
  command: Command,
  flags: Flags,
  options: KubernetesOptions,
  context: Context,
  settingsOf: (text: string, copies: readonly Copy[], mode: string) => Settings,
): void {
  const refused = decided.filter((each) => flags[each] !== undefined).map(flagOf)
  if (refused.length > 0) {
    command.error(`shoal: with --kubernetes the manifests say what ${refused.join(' and ')} is: leave it out`)
  }
  const { join = [], ...shared } = flags
  const { text: seeds, copies } = withSettings('', shared, process.cwd())
  const { text: peers } = withSettings('', forPeers(shared), process.cwd())
  const { admin, cluster, home, state } = settingsOf(seeds, copies, modeOf.seeds)
  settingsOf(peers, copies, modeOf.peers)
  const [folder] = backendFolders(home)
  if (folder !== undefined) {
    command.error(
      `shoal: ${flagOf('home')}: no pod has ${folder}; give a backend that is reached by network, such as s3://`,
    )
  }
  if (state.url?.host.startsWith('/')) {
    command.error(`shoal: ${flagOf('state')}: no pod has the socket in ${state.url.host}; give the name of a host`)
  }
  if (cluster.keyFile === undefined) {
    context.err(
      'shoal: without --cluster-key-file any pod that reaches a node can join and read cached images (see shoal keygen)',
    )
  }
  const all = manifests({
    ...options,
    settings: { seeds: headed(seeds), peers: headed(peers) },
    files: copies.map(({ from, path }) => ({ path, text: contentOf(from, context) })),
    join: join.flatMap((each) => each.split(',')),
    adminPort: admin.address.port,
  })
  context.out(opening(options) + all.map(yamlOf).join('---\n').trimEnd())
}

function headed(settings: string): string {
  return `# Keys are flags of "shoal up". Seeds read seeds.yaml instead, where there is one.\n${settings}`
}

/** @throws {CommandError} for a pipe that was read already, too */
function contentOf(path: string, { host }: Context): string {
  const text = host.read(path)
  if (text === '') throw new CommandError(`${path} is empty, or no file that can be read twice`)
  return text
}

function opening({ image }: KubernetesOptions): string {
  return `# shoal ${buildInfo.version} for Kubernetes: kubectl apply -f <this>
# The image ${image} has to be where hosts can pull it, or on each of them:
#   ctr --namespace k8s.io images import shoal-image.tar
`
}

function yamlOf(manifest: object): string {
  // Nothing in it is shared, so that each part can be read, and taken out, by itself.
  return new Document(manifest, { aliasDuplicateObjects: false }).toString({ lineWidth: 0 })
}

function count(text: string): number {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1 || value > 100) throw new InvalidArgumentError('Expected 1 to 100.')
  return value
}

function name(text: string): string {
  if (!/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/.test(text)) throw new InvalidArgumentError('Expected a DNS label.')
  return text
}

function quantity(text: string): string {
  if (!/^[1-9]\d*(?:[KMGTP]i?)?$/.test(text)) throw new InvalidArgumentError('Expected a size such as 100Gi.')
  return text
}

function folder(text: string): string {
  if (!/^\/[^\s]*[^\s/]$/.test(text)) throw new InvalidArgumentError('Expected the whole path of a folder.')
  return text
}
