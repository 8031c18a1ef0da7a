/** The node of this host, as it says itself. Pure. */
import type { BanFacts, NodeFacts } from '../admin/view.ts'
import { isWildcard } from '../cluster/advertise.ts'
import { isLoopback } from '../listen.ts'
import { type Finding, findingsOf } from './finding.ts'
import { type Ways, waysOf } from './ways.ts'

export interface OwnFacts {
  /** Where it was asked. */
  readonly admin: string
  /** What the token was read from that it was asked with. */
  readonly tokenFile?: string
  /** Absent: none answers, or not to us. */
  readonly node?: NodeFacts
  readonly bans: readonly BanFacts[]
  /** Something answers there, and not with facts: what it said. */
  readonly refused?: string
  /** The unit is installed on this host. */
  readonly service: boolean
  /** Addresses of this host's interfaces. */
  readonly addresses: readonly string[]
  /** What `--peer-addr` says, without the port. */
  readonly listenHost: string
  /** Of the program that asks. */
  readonly build: { readonly version: string; readonly commit: string }
}

const { good, note, warning, problem } = findingsOf('node')

export function judgeNode(facts: OwnFacts): Finding[] {
  const { admin, node, refused, service } = facts
  const ways = waysOf(service)
  if (refused !== undefined) {
    return [
      warning(refused, {
        why: 'what the node itself knows is left out below',
        remedy: 'shoal doctor --token-file FILE   # or --admin-addr HOST:PORT, where it is another node that is meant',
      }),
    ]
  }
  if (node)
    return [good(`node ${node.id} runs (${node.version}, ${node.modes.join(', ')})`), ...ofRunning(facts, node, ways)]
  if (service) {
    return [
      problem(`the service is installed, and no node answers at ${admin}`, {
        why: 'engines go to their registries, each host for itself',
        remedy: ways.start,
      }),
    ]
  }
  return [
    note(`no node runs on this host (nothing answers at ${admin}); the rest is looked at for one that would`, {
      remedy: ways.start,
    }),
  ]
}

/** Whether images are on this host once more than they need be. */
function ofEngine({ engine }: NodeFacts, service: boolean): Finding[] {
  return (engine?.folders ?? []).flatMap(({ path, trouble }) => {
    if (trouble === undefined || !/EACCES|EPERM/.test(trouble)) return []
    const root = path.replace(/\/io\.containerd\.content\.v1\.content\/.*$/, '')
    return [
      note(`the node may not read what containerd keeps in ${root}`, {
        why: 'what containerd pulls through the node takes its bytes twice on this host',
        remedy: service
          ? `shoal install --engine-content ${root}   # shows the blobs there to the service, and nothing else`
          : 'run the node as root, or as a service: shoal install --help',
      }),
    ]
  })
}

/** In seconds: how long what was pushed may wait for its backend, which with `--home-write back` it always does. */
const owedAfter = 60

function ofState(facts: OwnFacts, { state, owed }: NodeFacts): Finding[] {
  const found: Finding[] = []
  if (state?.trouble !== undefined) {
    found.push(
      problem(`the state of the cluster is out of reach: ${state.trouble}`, {
        why: 'pushes, preheats and the history of tags fail until it is back; pulls go on',
        remedy: state.where.includes('://')
          ? `see that the server of ${state.where} runs, and that this host, user and password are let in`
          : `ls -l ${state.where}; df ${state.where}   # that the node may write it, and that there is room`,
      }),
    )
  }
  if (owed !== undefined && owed.waiting > 0 && owed.oldestSeconds > owedAfter) {
    found.push(
      warning(`${owed.waiting} that were pushed are not at their backend yet, the oldest for ${owed.oldestSeconds} s`, {
        why: 'until the backend takes them they are on the disk of this host alone',
        remedy: `${curl(facts, 'home')}   # what is owed, and why it is not taken`,
      }),
    )
  }
  return found
}

function ofRunning(facts: OwnFacts, node: NodeFacts, ways: Ways): Finding[] {
  const { bans, build, service } = facts
  const found = node.notReady.map((reason) =>
    problem(`the node is not ready: ${reason}`, {
      why: 'engines get 404 from it, and go to their registries',
      remedy: service ? 'journalctl -u shoal -n 50' : 'shoal status',
    }),
  )
  if (node.store.trouble !== undefined) {
    found.push(
      warning(`the store could not take something within the last minute: ${node.store.trouble}`, {
        why: 'what is not stored is not shared, and read again for the next',
        remedy: node.store.broken
          ? `dmesg | tail -n 50; findmnt -T ${node.dataDir}   # whether the disk is broken, read-only or gone`
          : 'shoal gc --dry-run   # what could go; or more --cache-size',
      }),
    )
  }
  found.push(...ofState(facts, node), ...ofEngine(node, service))
  if (node.version !== build.version || node.commit !== build.commit) {
    found.push(
      warning(`the node is ${node.version} (${node.commit}), and this program ${build.version} (${build.commit})`, {
        why: 'the binary was replaced and the node still runs the former one, or another binary was started by hand',
        remedy: ways.restart,
      }),
    )
  }
  if (node.scrub.damaged > 0) {
    found.push(
      warning(`${node.scrub.damaged} pieces that were stored came back wrong from the disk`, {
        why: 'they were fetched again, and nobody got them; but a disk that rots once does so again',
        remedy: `dmesg | grep -i -e 'i/o error' -e ata -e nvme; smartctl -a DEVICE   # of ${node.dataDir}`,
      }),
    )
  }
  if (bans.length > 0) {
    found.push(
      note(`this node leaves alone: ${bans.map(({ node: id, reason }) => `${id} (${reason})`).join(', ')}`, {
        why: 'who sent wrong bytes is banned for an hour',
        remedy: `${curl(facts, 'bans/NODE', '-X DELETE ')}   # when what it was is mended`,
      }),
    )
  }
  return [...found, ...ofAddress(facts, node, ways)]
}

/** A command that asks the node as it was asked here. */
function curl({ admin, tokenFile }: OwnFacts, path: string, flags = ''): string {
  const token = tokenFile === undefined ? '' : `-H "Authorization: Bearer $(cat ${tokenFile})" `
  return `curl ${flags}${token}http://${admin}/api/v1/${path}`
}

/** Without `--advertise` a node follows the addresses of its host within seconds. */
function ofAddress({ addresses, listenHost }: OwnFacts, node: NodeFacts, ways: Ways): Finding[] {
  const host = URL.parse(node.addresses.peer)?.hostname.replace(/^\[|\]$/g, '')
  if (host === undefined) return []
  if (isLoopback(host)) {
    if (!isWildcard(listenHost)) return []
    return [
      warning(`others are told to reach this node at ${host}, which is themselves`, {
        why: 'its host has no other address of those it listens on (0.0.0.0: IPv4), or --advertise names this one: nobody gets pieces from it',
        remedy: 'ip address   # when the host has an address the node goes by it, where --advertise names no other',
      }),
    ]
  }
  if (!/^[0-9.]+$|:/.test(host) || addresses.includes(host)) return []
  return [
    note(`others are told to reach this node at ${host}, which is no address of this host`, {
      why: 'that is right behind address translation, and wrong when --advertise names an address that the host had once, or when it is cut off from its network',
      remedy: `ip address   # then ${ways.set('--advertise ADDRESS')}, or no --advertise at all: the node goes by what its host has`,
    }),
  ]
}
