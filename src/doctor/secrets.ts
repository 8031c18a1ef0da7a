/** Who may join, and who may read the files that decide it. Pure. */
import { exposure } from '../config/secret-file.ts'
import { isLoopback } from '../listen.ts'
import { type Finding, findingsOf } from './finding.ts'
import type { Ways } from './ways.ts'

export interface SecretFile {
  readonly path: string
  /** What it is: `cluster key`. */
  readonly what: string
  readonly mode: number
}

export interface ClusterFacts {
  readonly files: readonly SecretFile[]
  /** The key in the file that the settings name. */
  readonly key?: { readonly path: string } & ({ readonly fingerprint: string } | { readonly wrong: string })
  /** What the node that runs says. */
  readonly node?: { readonly admission: 'open' | 'keyed'; readonly key?: string; readonly encrypted?: boolean }
  /** Where it listens for others, by the settings. */
  readonly peerHost: string
}

const { good, warning, problem } = findingsOf('cluster')

export function judgeCluster({ files, key, node, peerHost }: ClusterFacts, ways: Ways): Finding[] {
  const found = files.flatMap(ofFile)
  if (key && 'wrong' in key) {
    const why = 'a node does not start with it; one that runs goes on with the key that it has'
    return [
      ...found,
      problem(key.wrong, {
        why,
        remedy: `copy ${key.path} from a node that works   # only for a new cluster: shoal keygen`,
      }),
    ]
  }
  if (key && node && node.key !== key.fingerprint) {
    const own = node.key === undefined ? 'has no key' : `uses the key ${node.key}`
    return [
      ...found,
      problem(`the node that runs ${own}, and ${key.path} has ${key.fingerprint}`, {
        why: 'nodes with different keys do not see each other',
        remedy: `${ways.restart}   # it reads its file within 2 s of a change, so its log says why it did not`,
      }),
    ]
  }
  const keyed = node ? node.admission === 'keyed' : key !== undefined
  if (keyed) return found.length > 0 ? found : [good(`the cluster has a key${key ? ` (${key.fingerprint})` : ''}`)]
  if (isLoopback(peerHost)) return found
  return [
    ...found,
    warning('the cluster is open: it has no key', {
      why: 'any host that reaches this one can join, read cached images of any digest it knows, and name itself a seed',
      remedy: 'shoal keygen --output /etc/shoal/cluster.key   # the same file on every node, with --cluster-key-file',
    }),
  ]
}

function ofFile({ path, what, mode }: SecretFile): Finding[] {
  const wrong = exposure(mode)
  if (!wrong) return []
  const changeable = wrong.what.includes('change')
  return [
    (changeable ? problem : warning)(`${path} (${what}): ${wrong.what}`, {
      why: 'whoever has what is in it can do what this node can',
      remedy: `chmod ${wrong.chmod} ${path}`,
    }),
  ]
}
