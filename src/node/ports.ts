/** The two ports of a node that are not for other nodes, put together: engines and clients ask at one, operators at the other. */
import { hostname as nameOfHost } from 'node:os'
import { type AdminServer, createAdmin, serveAdmin } from '../admin/admin.ts'
import type { NodeView } from '../admin/view.ts'
import type { Clock, Random } from '../clock.ts'
import type { Membership } from '../cluster/membership.ts'
import type { Secret } from '../config/secret.ts'
import type { Settings } from '../config/settings.ts'
import { connectionsFor } from '../file-limit.ts'
import { harbor } from '../harbor/harbor.ts'
import { ownBinary } from '../install/own-binary.ts'
import type { LazyLayers } from '../lazy/lazy.ts'
import { openTwin } from '../local/twin.ts'
import type { Preheats } from '../preheat/preheats.ts'
import type { Own } from '../registry/exchange.ts'
import type { Pulls } from '../registry/pulls.ts'
import { createRegistry, type RegistryInit } from '../registry/registry.ts'
import { type RegistryServer, serveRegistry, serverLimits } from '../registry/server.ts'
import type { RegistrySource } from '../source/registry-source.ts'
import type { Log } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { Tracing } from '../tracing/tracing.ts'
import { dashboard } from '../ui/dashboard.ts'

export interface RegistryPort {
  readonly settings: Settings
  readonly content: RegistryInit['content']
  readonly own: Own | undefined
  readonly lazy: LazyLayers
  readonly pulls: Pulls
  readonly tracing: Tracing | undefined
  /** Files that this process may have open. */
  readonly files: Parameters<typeof connectionsFor>[1]
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly metrics: Metrics
}

/** @throws {ListenError} */
export async function registryPort({
  settings,
  pulls,
  tracing,
  files,
  ...parts
}: RegistryPort): Promise<RegistryServer> {
  const { own, clock, log } = parts
  const { host: hostname, port } = settings.registry.address
  const app = createRegistry({
    ...parts,
    names: [nameOfHost(), hostname, settings.node.advertise ?? []].flat(),
    pulls: tracing?.pulls.tracked(pulls) ?? pulls,
    ...(tracing ? { traced: (exchange, request, work) => tracing.pulls.request(exchange, request, work) } : {}),
  })
  const limits = { connections: connectionsFor(serverLimits.connections, files) }
  const server = await serveRegistry(app, { hostname, port, limits, uploads: own?.pushing !== undefined, clock, log })
  await openTwin({ host: hostname, port: server.port }, server.also, log)
  return server
}

export interface AdminPort {
  readonly settings: Settings
  readonly view: NodeView
  readonly metrics: Metrics
  readonly log: Log
  readonly preheats: Preheats
  readonly registries: Pick<RegistrySource, 'leadingTo'>
  readonly membership: Pick<Membership, 'find'>
  /** Why the node cannot serve; empty when it can. */
  readonly notReady: () => readonly string[]
}

export interface GuardedPort extends AdminServer {
  /** Asks for that token from now on, and for no other; where none was asked for, none is still. */
  guard(token: Secret | undefined): void
}

/** @throws {ListenError} */
export async function adminPort({
  settings,
  view,
  metrics,
  log,
  preheats,
  registries,
  ...parts
}: AdminPort): Promise<GuardedPort> {
  const { membership, notReady } = parts
  const binary = ownBinary()
  const pages = dashboard()
  const appFor = (token: Secret | undefined) => {
    const guard = { log, ...(token ? { token } : {}) }
    const provider = harbor({
      ...guard,
      preheats,
      names: (url) => registries.leadingTo(url),
      notReady,
      addressOf: (node) => membership.find(node)?.url,
    })
    return createAdmin(view, metrics, { ...guard, pages, provider, ...(binary ? { binary } : {}) })
  }
  let { token } = settings.admin
  let app = appFor(token)
  const server = serveAdmin({ fetch: (request) => app.fetch(request) }, settings.admin.address)
  await openTwin(server.address, server.also, log)
  return {
    ...server,
    guard(next) {
      if (!token || !next || next.equals(token)) return
      token = next
      // What was handed out for the old one, such as the key of an installer, opens nothing more.
      app = appFor(token)
    },
  }
}
