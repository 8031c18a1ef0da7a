/** All that was found out about a host, judged. Pure. */

import { places } from '../install/places.ts'
import { judgeClock, type Witness } from './clock.ts'
import { type DiskFacts, judgeDisk } from './disk.ts'
import { type EngineFacts, judgeEngines } from './engines.ts'
import { type FilesFacts, judgeFiles } from './files.ts'
import { type Finding, findingsOf } from './finding.ts'
import { judgeKernel, type KernelFacts } from './kernel.ts'
import { judgeMembers, type MembersFacts } from './members.ts'
import { judgeNode, type OwnFacts } from './node.ts'
import { judgePorts, type PortFacts } from './ports.ts'
import { type ClusterFacts, judgeCluster } from './secrets.ts'
import { judgeSources, type SourceFacts } from './sources.ts'
import { type Ways, waysOf } from './ways.ts'

export interface Facts {
  readonly own: OwnFacts
  /** What is wrong with the settings; the rest was then looked at with the defaults. */
  readonly settings: { readonly file?: string; readonly problems: readonly string[]; readonly root: boolean }
  readonly ports: readonly PortFacts[]
  readonly disk: DiskFacts
  readonly witnesses: readonly Witness[]
  readonly kernel: KernelFacts
  readonly files: FilesFacts
  readonly engines: readonly EngineFacts[]
  /** The URL of the registry port. */
  readonly mirror: string
  readonly cluster: ClusterFacts
  readonly members: MembersFacts
  readonly sources: readonly SourceFacts[]
  /** The node is, or would be, a seed. */
  readonly seed: boolean
}

export function examine(facts: Facts): Finding[] {
  const running = facts.own.node !== undefined || facts.own.refused !== undefined
  const ways = waysOf(facts.own.service)
  const keyed = facts.cluster.node?.admission === 'keyed' || facts.cluster.key !== undefined
  return [
    ...judgeNode(facts.own),
    ...judgeSettings(facts.settings, ways),
    ...judgePorts(facts.ports, running, ways),
    ...judgeDisk(facts.disk, ways),
    ...judgeClock(facts.witnesses, keyed),
    ...judgeKernel(facts.kernel),
    ...judgeFiles(facts.files),
    ...judgeEngines(facts.engines, facts.mirror),
    ...judgeCluster(facts.cluster, ways),
    ...judgeMembers(facts.members, ways),
    ...judgeSources(facts.sources, facts.seed, ways),
  ]
}

const { good, note, problem } = findingsOf('settings')

function judgeSettings({ file, problems, root }: Facts['settings'], ways: Ways): Finding[] {
  if (problems.length === 0) return [good(file === undefined ? 'no settings file: the defaults' : `${file} is right`)]
  return problems.map((what) => {
    if (!root && what.includes('this user may not read it')) {
      return note(`${what}; the rest was looked at with the defaults`, { remedy: 'sudo shoal doctor' })
    }
    return problem(what, {
      why: 'a node does not start with it; the rest was looked at with the defaults',
      remedy: ways.service
        ? `mend it in ${places.settings} or ${places.variables}, then: ${ways.restart}`
        : 'shoal up --help',
    })
  })
}
