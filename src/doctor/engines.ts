/** Whether the engines of this host ask the node. Pure. */
import type { Engine } from '../configure/plan.ts'
import { sameMirror } from '../configure/plan.ts'
import { type Finding, findingsOf } from './finding.ts'

export interface EngineFacts {
  readonly engine: Engine
  readonly running: boolean
  readonly file: string
  /** Files that `shoal configure` would write; none: they are as it would have them. */
  readonly changes: readonly string[]
  /** Why it would not write any. */
  readonly refusal?: string
  /** Some of its files name the node. */
  readonly named: boolean
  /** What dockerd says that it uses. */
  readonly inUse?: readonly string[]
}

const { good, note, warning } = findingsOf('engines')
const past = 'its pulls go past the node, to the registry'

/** `mirror`: the URL of the node's registry port. */
export function judgeEngines(engines: readonly EngineFacts[], mirror: string): Finding[] {
  if (engines.length === 0) {
    return [note('there is no docker, containerd, podman or CRI-O on this host', { remedy: 'shoal configure --help' })]
  }
  const configured = engines.some((facts) => isConfigured(facts))
  const docker = engines.some(({ engine, running }) => engine === 'docker' && running)
  return engines.map((facts) => {
    // Where one engine asks the node, others may be left alone on purpose; the containerd below dockerd usually is.
    const idle = !facts.running || (facts.engine === 'containerd' && docker)
    return judge(facts, mirror, configured && idle)
  })
}

function isConfigured({ changes, refusal }: EngineFacts): boolean {
  return refusal === undefined && changes.length === 0
}

function judge(facts: EngineFacts, mirror: string, mayBe: boolean): Finding {
  const { engine, changes, refusal, named, inUse } = facts
  const told = mayBe ? (what: string, rest: { why: string; remedy: string }) => note(what, rest) : warning
  if (refusal !== undefined) {
    return told(`${engine} cannot be pointed at the node as it is: ${refusal}`, {
      why: past,
      remedy: `shoal configure ${engine} --dry-run   # when that is mended`,
    })
  }
  if (changes.length > 0) {
    if (!named) {
      return told(`${engine} is not pointed at the node`, { why: past, remedy: `shoal configure ${engine}` })
    }
    return note(`${engine} is pointed at the node, but not for all that it could be, or not first`, {
      why: 'what is left out goes to the registry, or to another mirror before this one',
      remedy: `shoal configure ${engine} --dry-run   # shows the difference`,
    })
  }
  if (inUse && !inUse.some((url) => sameMirror(url, mirror))) {
    return warning(`${facts.file} names the node, and the dockerd that runs does not use it`, {
      why: past,
      remedy: 'shoal configure docker --yes   # has it read its file again',
    })
  }
  const state = facts.running ? '' : ', and does not run now'
  return good(`${engine} is pointed at ${mirror}${state}`)
}
