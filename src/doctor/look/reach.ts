/** Who answers from this host, and what their clocks say. Each is asked once, briefly, all at the same time. */
import { multiaddr } from '@multiformats/multiaddr'
import type { MemberFacts } from '../../admin/view.ts'
import type { Clock } from '../../clock.ts'
import type { Settings, Upstream } from '../../config/settings.ts'
import { formatAddress } from '../../listen.ts'
import { Exchange } from '../../source/exchange.ts'
import { proxyFor } from '../../source/proxy.ts'
import { Upstreams } from '../../source/upstreams.ts'
import { createMetrics } from '../../telemetry/metrics.ts'
import { headers } from '../../wire/rules.ts'
import type { Witness } from '../clock.ts'
import type { Tried } from '../members.ts'
import type { SourceFacts } from '../sources.ts'

const patienceMs = 4_000
/** A scheduler of a large cluster knows thousands. */
const mostMembers = 32

type Seen<T> = { readonly of: T; readonly witness?: Witness }

export async function lookAtMembers(members: readonly MemberFacts[], clock: Clock): Promise<Map<string, Seen<Tried>>> {
  const others = members.filter(({ self }) => !self).slice(0, mostMembers)
  const own = members.find(({ self }) => self)?.id
  return new Map(await Promise.all(others.map(async ({ id, url }) => [id, await member(url, own, clock)] as const)))
}

/** Any answer will do: in a cluster with a key it is a refusal. In an open one whoever names no node is refused, and logged. */
async function member(url: string, own: string | undefined, clock: Clock): Promise<Seen<Tried>> {
  const asked = clock.wall()
  try {
    const answer = await fetch(url, {
      headers: own === undefined ? {} : { [headers.node]: own },
      redirect: 'manual',
      proxy: false,
      // What is said here decides nothing: who it is does not matter.
      tls: { rejectUnauthorized: false },
      signal: AbortSignal.timeout(patienceMs),
    })
    await answer.body?.cancel()
    const ahead = aheadOf(answer.headers, asked, clock.wall())
    return {
      of: { where: url },
      ...(ahead === undefined ? {} : { witness: { kind: 'member', name: new URL(url).host, ahead } }),
    }
  } catch (error) {
    return { of: { where: url, failed: whyOf(error) } }
  }
}

/** `own`: addresses at which this node itself is reached. */
export function lookAtJoins(join: readonly string[], own: ReadonlySet<string>): Promise<Tried[]> {
  const targets = join.flatMap((entry) => {
    const parts = multiaddr(entry).getComponents()
    const host = parts.find(({ name }) => /^(ip4|ip6|dns|dns4|dns6)$/.test(name))?.value
    const port = Number(parts.find(({ name }) => name === 'tcp')?.value)
    return host === undefined || own.has(host) ? [] : [{ host, port }]
  })
  return Promise.all(
    targets.map(async (address) => {
      const where = formatAddress(address)
      const failed = await knock(address)
      return failed === undefined ? { where } : { where, failed }
    }),
  )
}

/** Undefined when somebody listens there. */
async function knock({ host, port }: { host: string; port: number }): Promise<string | undefined> {
  const late = Promise.withResolvers<string>()
  const timer = setTimeout(() => late.resolve('no answer'), patienceMs)
  const connected = Bun.connect({ hostname: host, port, socket: { data() {} } }).then(
    (socket) => void socket.end(),
    whyOf,
  )
  try {
    return await Promise.race([connected, late.promise])
  } finally {
    clearTimeout(timer)
  }
}

/** As the node itself asks them: by the same names, authorities and rules. */
export function lookAtSources(source: Settings['source'], clock: Clock): Promise<Seen<SourceFacts>[]> {
  const timeouts = { headersMs: 2 * patienceMs, idleMs: patienceMs }
  const exchange = new Exchange(clock, timeouts, createMetrics())
  return Promise.all(source.upstreams.map((upstream) => askSource(upstream, source, exchange, clock)))
}

async function askSource(
  { registry, url }: Upstream,
  { onlyListed, caFile }: Settings['source'],
  exchange: Exchange,
  clock: Clock,
): Promise<Seen<SourceFacts>> {
  const proxy = proxyOf(new URL(url))
  const facts = { registry, url, ...(proxy === undefined ? {} : { proxy }) }
  try {
    const listed = new Map([[registry, [{ url: new URL(url) }]]])
    const upstream = new Upstreams(listed, { onlyListed, ...(caFile === undefined ? {} : { caFile }) }).find(registry)
    const asked = clock.wall()
    const answer = await exchange.send(upstream, { method: 'GET', url: new URL(upstream.root) })
    answer.close()
    const ahead = aheadOf(answer.headers, asked, clock.wall())
    return {
      of: { ...facts, status: answer.status },
      ...(ahead === undefined ? {} : { witness: { kind: 'source', name: registry, ahead } }),
    }
  } catch (error) {
    return { of: { ...facts, failed: error instanceof Error ? error.message : String(error) } }
  }
}

/** RFC 9110, section 6.6.1: whole seconds, so half of one is added. */
function aheadOf(headers: Headers, asked: number, answered: number): number | undefined {
  const date = Date.parse(headers.get('date') ?? '')
  return Number.isNaN(date) ? undefined : (date + 500 - (asked + answered) / 2) / 1000
}

/** Without the login that may be in it. */
function proxyOf(url: URL): string | undefined {
  const proxy = proxyFor(url, process.env)
  return proxy === undefined
    ? undefined
    : (URL.parse(proxy)?.host ?? 'that the environment names, whose address is no URL')
}

const reasons: Record<string, string> = {
  ECONNREFUSED: 'nothing listens there',
  ConnectionRefused: 'nothing listens there',
  ENOTFOUND: 'no such name',
  EHOSTUNREACH: 'no way there',
  ENETUNREACH: 'no way there',
  ECONNRESET: 'the connection broke',
}

function whyOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if (error.name === 'TimeoutError') return 'no answer'
  const code = 'code' in error ? String(error.code) : ''
  return reasons[code] ?? (code || error.message)
}
