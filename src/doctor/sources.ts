/** Whether the registries that this node reads from can be reached from this host. Pure. */
import { type Finding, findingsOf } from './finding.ts'
import type { Ways } from './ways.ts'

export interface SourceFacts {
  readonly registry: string
  readonly url: string
  /** Of its answer to `GET /v2/`. */
  readonly status?: number
  /** Why there was none. */
  readonly failed?: string
  /** The proxy that the environment of this shell names for it. */
  readonly proxy?: string
}

const { good, warning, problem } = findingsOf('sources')

/** `reads`: the node is a seed, which is who reads registries. */
export function judgeSources(sources: readonly SourceFacts[], reads: boolean, ways: Ways): Finding[] {
  return sources.map((source) => {
    const { registry, url, status, failed, proxy } = source
    const way = proxy === undefined ? '' : ` through the proxy ${proxy}`
    if (answers(source)) return good(`${registry} answers at ${url}${way}`)
    const what = failed ?? `${registry} answers ${status} at ${url}`
    if (sources.some((other) => other.registry === registry && answers(other))) {
      return warning(`${what}${way}`, {
        why: `${registry} is read at another of its endpoints meanwhile`,
        remedy: remedyFor(source, ways),
      })
    }
    const level = reads ? problem : warning
    return level(`${what}${way}`, {
      why: reads
        ? 'a seed that cannot read a registry brings nothing of it into the cluster'
        : 'seeds read it for this node; without them it has no way of its own',
      remedy: remedyFor(source, ways),
    })
  })
}

function answers({ status }: SourceFacts): boolean {
  return status !== undefined && (status < 400 || status === 401)
}

function remedyFor({ registry, url, status, failed }: SourceFacts, ways: Ways): string {
  if (failed?.includes('certificate')) return `${ways.set('--ca-file FILE')}   # the authority of ${registry}, as PEM`
  if (failed?.includes('resolved')) return `getent hosts ${new URL(url).hostname}   # DNS of this host`
  if (status === 404) return `${ways.set(`--upstream ${registry}=URL`)}   # where its /v2/ is`
  return `curl -v ${url}/v2/   # from this host; behind a proxy: shoal help proxy`
}
