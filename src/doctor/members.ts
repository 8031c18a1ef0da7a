/** Whether the other nodes are there, and run what this one runs. Pure. */
import type { MemberFacts } from '../admin/view.ts'
import { type Finding, findingsOf } from './finding.ts'
import type { Ways } from './ways.ts'

/** A place that was tried from here. */
export interface Tried {
  readonly where: string
  /** Absent: somebody answered. */
  readonly failed?: string
}

export interface MembersFacts {
  /** All that the running node knows, itself included; absent: no node runs. */
  readonly members?: readonly MemberFacts[]
  /** Peer ports of members, by node id. */
  readonly reached: ReadonlyMap<string, Tried>
  /** Those that `--join` names, this host's own address left out. */
  readonly joins: readonly Tried[]
  readonly mdns: boolean
}

const { good, note, warning, problem } = findingsOf('members')

export function judgeMembers(facts: MembersFacts, ways: Ways): Finding[] {
  const others = facts.members?.filter(({ self }) => !self) ?? []
  const found = [...ofJoins(facts, others), ...ofReach(facts, others), ...ofVersions(facts.members ?? [])]
  if (found.length > 0) return found
  if (others.length > 0) {
    const tried = facts.reached.size < others.length ? `, ${facts.reached.size} of them asked` : ''
    return [
      good(`${others.length} other ${others.length === 1 ? 'node is' : 'nodes are'} known and within reach${tried}`),
    ]
  }
  if (facts.joins.length > 0)
    return [good(`the nodes of --join answer: ${facts.joins.map(({ where }) => where).join(', ')}`)]
  if (!facts.members) return []
  const way = facts.mdns ? 'multicast DNS has found no other' : 'it has neither --join nor multicast DNS'
  return [
    note(`this node is alone: ${way}`, {
      why: 'alone it is a cache, and costs a hop',
      remedy: `${ways.set('--join HOST')}   # one or more nodes that run; and see that UDP 5353, TCP 4881 and 4882 are open`,
    }),
  ]
}

function ofJoins({ joins, members }: MembersFacts, others: readonly MemberFacts[]): Finding[] {
  const failed = joins.filter((tried) => tried.failed !== undefined)
  const list = failed.map(({ where, failed: how }) => `${where} (${how})`).join(', ')
  if (failed.length === 0) {
    if (!members || joins.length === 0 || others.length > 0) return []
    return [
      problem(`the nodes of --join answer (${joins.map(({ where }) => where).join(', ')}), and none is a member`, {
        why: 'nodes of another cluster key, of another version, or with --encrypt on one side only, do not see each other',
        remedy: 'journalctl -u shoal | grep -i -e key -e version -e encrypt   # each side says why in its log',
      }),
    ]
  }
  const remedy = 'start the nodes of those hosts; and see that TCP 4882 (libp2p) and 4881 (pieces) are open from here'
  if (failed.length === joins.length && others.length === 0) {
    const why = 'this node finds no other by its --join'
    return [problem(`nobody named by --join answers: ${list}`, { why, remedy })]
  }
  const why = 'it need not answer as long as others do; when all are gone, nodes that start find nobody'
  return [warning(`named by --join, and does not answer: ${list}`, { why, remedy })]
}

function ofReach({ reached }: MembersFacts, others: readonly MemberFacts[]): Finding[] {
  const failed = others.flatMap(({ id, url }) => {
    const how = reached.get(id)?.failed
    return how === undefined ? [] : [`${url} (${how})`]
  })
  if (failed.length === 0) return []
  const level = failed.length === reached.size ? problem : warning
  return [
    level(`${failed.length} of ${reached.size} members do not answer at their peer port: ${some(failed)}`, {
      why: 'pieces cannot be fetched from them; they were told of by others, or the way is open in one direction only',
      remedy: 'on those hosts: open TCP 4881 to this one, or --advertise the address that others reach them at',
    }),
  ]
}

function ofVersions(members: readonly MemberFacts[]): Finding[] {
  const byVersion = Map.groupBy(members, ({ version }) => version)
  if (byVersion.size < 2) return []
  const groups = [...byVersion].sort(([, a], [, b]) => b.length - a.length)
  const list = groups.map(([version, nodes]) => `${version} on ${nodes.length}`).join(', ')
  const [, ...rest] = groups
  return [
    warning(`members run different versions: ${list}`, {
      why: 'nodes of different versions work together for an upgrade; what is new works when all have it',
      remedy: `shoal install   # with the new binary, on ${some(rest.flatMap(([, nodes]) => nodes.map(({ url }) => new URL(url).hostname)))}`,
    }),
  ]
}

function some(names: readonly string[]): string {
  return names.length > 5 ? `${names.slice(0, 5).join(', ')} and ${names.length - 5} more` : names.join(', ')
}
