/**
 * Where a node reads what no other node has, put together: registries, servers on the web, and backends of the cluster's
 * own repositories. All of it counts for one limit, and what a client waits for goes first.
 */
import type { Clock, Random } from '../clock.ts'
import type { Settings } from '../config/settings.ts'
import type { Backend } from '../home/backends/backend.ts'
import { backendOf } from '../home/backends/backend-of.ts'
import type { Meter } from '../meter.ts'
import type { Digest } from '../oci/digest.ts'
import { Gate } from '../rate.ts'
import { Courtesy } from '../source/courtesy.ts'
import { FileSource, type FileSourceOptions } from '../source/file-source.ts'
import { RegistrySource, type SourceLimit } from '../source/registry-source.ts'
import type { ListedUpstreams } from '../source/upstreams.ts'
import type { Log } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'

export interface NodeSourcesParts {
  readonly settings: Settings
  /** Of bytes that were read. */
  readonly read: Meter
  /** Nobody waits for it. */
  readonly background: (digest: Digest) => boolean
  readonly admitted: NonNullable<FileSourceOptions['admitted']>
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly metrics: Metrics
}

export class NodeSources {
  readonly registries: RegistrySource
  readonly webServers: FileSource
  readonly #parts: NodeSourcesParts
  readonly #limit: SourceLimit

  constructor(parts: NodeSourcesParts) {
    const { settings, admitted, clock, random, log, metrics } = parts
    const { onlyListed, caFile, credentialsFiles } = settings.source
    this.#parts = parts
    this.#limit = limitOf(parts)
    const options: FileSourceOptions = {
      upstreams: upstreamsOf(settings),
      onlyListed,
      ...(caFile === undefined ? {} : { caFile }),
      clock,
      random,
      log,
      metrics,
      limit: this.#limit,
      admitted,
    }
    this.registries = new RegistrySource({ ...options, credentialsFile: credentialsFiles })
    this.webServers = new FileSource(options)
  }

  /** @throws {Error} for what is no URL of a backend */
  backend(url: string): Backend {
    const { settings, clock, random, log, metrics } = this.#parts
    const { caFile, credentialsFiles } = settings.source
    return backendOf(url, {
      env: process.env,
      clock,
      random,
      log,
      metrics,
      limit: (bytes) => this.#limit(bytes, undefined),
      ...(caFile === undefined ? {} : { caFile }),
      dockerFile: credentialsFiles,
      awsFile: settings.keeping.credentialsFiles,
    })
  }

  /** As settings that were read again say. */
  reroute(settings: Settings): void {
    for (const each of [this.registries, this.webServers])
      each.reroute(upstreamsOf(settings), settings.source.onlyListed)
  }

  close(): void {
    this.registries.close()
  }
}

function limitOf({ settings, read, background, clock }: NodeSourcesParts): SourceLimit {
  const { sourceRate } = settings.limits
  const gate = sourceRate === undefined ? undefined : new Gate({ clock, bytesPerSecond: sourceRate })
  const courtesy = new Courtesy(clock)
  return async (bytes, digest) => {
    read.add(bytes, clock.now())
    const unhurried = digest !== undefined && background(digest)
    if (!gate) return courtesy.pass(bytes, unhurried)
    await gate.enter(bytes, { of: digest ?? '', background: unhurried })
    gate.leave()
  }
}

function upstreamsOf({ source }: Settings): ListedUpstreams {
  const byRegistry = Map.groupBy(source.upstreams, ({ registry }) => registry)
  return new Map([...byRegistry].map(([registry, all]) => [registry, all.map(({ url }) => ({ url: new URL(url) }))]))
}
