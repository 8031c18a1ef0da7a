/**
 * A node, put together. Read from top to bottom: store, network, swarm, scheduler, content, the ports; and the same in
 * reverse when it ends. Longer than most files, for it is the one place where all parts are named.
 */
import { randomBytes } from 'node:crypto'
import { availableParallelism } from 'node:os'
import { buildInfo } from '../build-info.ts'
import { every, systemClock } from '../clock.ts'
import { Identity } from '../cluster/identity.ts'
import { KeyFile } from '../cluster/key-file.ts'
import type { Changes } from '../config/reload.ts'
import { tellExposed } from '../config/secret-file.ts'
import type { Settings } from '../config/settings.ts'
import { Files } from '../content/files.ts'
import { GuardedContent } from '../content/guarded-content.ts'
import { NodeContent } from '../content/node-content.ts'
import { Parts } from '../content/parts.ts'
import { Tags } from '../content/tags.ts'
import { type Engine, engineOf } from '../engine/of-node.ts'
import { fileLimit, openFiles, watchFiles } from '../file-limit.ts'
import { harden } from '../hardening.ts'
import { idleRule } from '../keep/idle.ts'
import { ChildMaker } from '../lazy/child-maker.ts'
import { LazyLayers } from '../lazy/lazy.ts'
import { Ledger } from '../lazy/ledger.ts'
import { formatAddress } from '../listen.ts'
import { Meter } from '../meter.ts'
import type { Digest } from '../oci/digest.ts'
import type { Repository } from '../oci/reference.ts'
import { preheatOf } from '../preheat/assembly.ts'
import { pullLog } from '../registry/registry.ts'
import { Rights } from '../rights/rights.ts'
import type { Visitor } from '../rights/visitor.ts'
import type { Location } from '../source/source.ts'
import { Sources } from '../source/sources.ts'
import { DiskStore } from '../store/disk-store.ts'
import { History, readTotals, spans } from '../telemetry/history.ts'
import { Network } from '../wire/network.ts'
import { inboundOf } from './answers.ts'
import { NodeHome } from './home.ts'
import { adminPort, type GuardedPort, registryPort } from './ports.ts'
import { pushingOf } from './pushing.ts'
import { NodeSources } from './sources.ts'
import { NodeState } from './state.ts'
import { logStarted, summaryOf } from './summary.ts'
import { NodeSwarm } from './swarm.ts'
import { telemetryOf, tracingOf } from './telemetry.ts'
import { viewOf } from './view.ts'
import { ClusterVitals, vitalsCall } from './vitals.ts'

export interface RunningNode {
  /** Lines that say where it listens and what to do next. */
  summary(): string[]
  /** Takes over the settings that it can, and the cluster's keys; what is not right changes nothing. Never throws. */
  reload(read: () => { settings: Settings; changes: Changes }): void
  /** Stops taking requests, lets those under way finish for a bounded time, and ends. */
  close(reason: string): Promise<void>
}

/** How long responses to engines, and then pieces to other nodes, may take to finish when the node ends. */
const drainMs = 15_000
const uploadDrainMs = 5_000

/**
 * `ending`: it is to end again, which a start that has much to read heeds at once, and any other when it is done.
 * @throws {Failure | ListenError} what keeps the node from starting, in one sentence with the remedy; the reason of `ending`
 */
export async function startNode(settings: Settings, ending?: AbortSignal): Promise<RunningNode> {
  const clock = systemClock
  const random = Math.random
  const { metrics, recent, log, levels } = telemetryOf(settings, clock)
  const unhardened = harden()
  if (unhardened !== undefined) log.warn('this process is less shut off than it could be', { reason: unhardened })
  /** How what has begun ends, the last first. */
  const ends = new AsyncDisposableStack()
  try {
    return await start()
  } catch (error) {
    await ends.disposeAsync().catch((also: unknown) => log.warn('what had begun did not end well', { error: also }))
    if (ending?.aborted && error === ending.reason) {
      log.info('ended while it started; the next start goes on there', { reason: ending.reason.message })
    }
    throw error
  }

  async function start(): Promise<RunningNode> {
    const { modes, dataDir, zone, advertise } = settings.node
    const { keyFile: keyPath, encrypt } = settings.cluster
    const keyFile = keyPath === undefined ? undefined : new KeyFile(keyPath, clock, log)
    for (const file of [
      settings.admin.tokenFile,
      ...settings.source.credentialsFiles,
      ...settings.keeping.credentialsFiles,
      settings.state.passwordFile,
    ])
      if (file) tellExposed(file, log)
    const ring = keyFile?.ring
    ends.defer(() => keyFile?.close())
    // Until the end it says that the node is shutting down.
    let admin: GuardedPort | undefined
    ends.defer(() => admin?.close())
    const idle = idleRule(settings.store.keep, settings.store.cacheTtlMs)
    const store = await DiskStore.open({
      dir: dataDir,
      limitBytes: settings.store.cacheBytes,
      keepFree: settings.store.keepFree,
      ...(settings.store.cacheTtlMs === undefined ? {} : { ttlMs: settings.store.cacheTtlMs }),
      ...(idle ? { idle } : {}),
      ...(ending ? { ending } : {}),
      clock,
      log,
      metrics,
    })
    ends.defer(() => store.close())
    const identity = await Identity.load(dataDir)
    const kept = await NodeState.open(settings, { node: identity.id, clock, random, log, metrics })
    ends.defer(() => kept?.close())
    const tracing = await tracingOf(settings, identity.id, clock, log)
    ends.defer(() => tracing?.close())

    const { downloadRate } = settings.limits
    const started = clock.now()
    const rates = { received: new Meter(started), sent: new Meter(started), source: new Meter(started) }
    const sources = new NodeSources({
      settings,
      read: rates.source,
      background: (digest) => swarm.find(digest)?.background ?? false,
      admitted: (repository, asker) => rights.given(repository, asker),
      clock,
      random,
      log,
      metrics,
    })
    ends.defer(() => sources.close())
    const { registries, webServers } = sources
    const urls = new Files({
      source: webServers,
      store,
      signer: identity,
      clock,
      log,
      stored: (repository, digest) => {
        rights.contains(repository, [digest])
        stored(digest)
      },
    })
    ends.defer(() => urls.close())
    const home: NodeHome = new NodeHome({
      settings,
      state: kept?.state,
      backend: (url) => sources.backend(url),
      clock,
      store,
      network: () => network,
    })
    const source = new Sources({
      registries,
      files: webServers,
      homes: home.source,
      resolveFile: (repository) => urls.resolve(repository),
    })
    const asked = tracing?.source(source) ?? source
    const rights: Rights = new Rights({
      store,
      door: source,
      clock,
      random,
      log,
      metrics,
      loginsFor: settings.registry.loginsFor,
      isHome: (repository) => home.source.has(repository),
      key: randomBytes(32),
      learned: (digest) => {
        const blob = store.find(digest)
        if (blob) seeder.begun(blob)
      },
      placed: (digest) => engine.heard(digest),
      renew: (repository) => tags.renew(repository),
      inquire: (location, widely) => parts.inquire(location, widely),
    })

    // Others ask for what is in it until the network is closed.
    const ledger = Ledger.in(dataDir, log)
    ends.defer(() => ledger.close())
    const network = await Network.start({
      identity,
      version: buildInfo.version,
      modes,
      zone,
      peerAddr: settings.peer.address,
      p2pAddr: settings.p2p.address,
      advertise,
      join: settings.p2p.join,
      mdns: settings.p2p.mdns,
      ring,
      encrypt,
      homes: home.patterns,
      downloadRate,
      received: rates.received,
      clock,
      random,
      log,
      metrics,
      traces: tracing?.traces,
    })
    ends.defer(() => network.close())
    const { membership } = network
    const outbound = tracing?.outbound(network.outbound) ?? network.outbound

    const parted: NodeSwarm = new NodeSwarm({
      ...{ settings, store, identity, network, outbound, source: asked, rights, tracing, rates, clock, random, log },
      metrics,
      readers: (repository) => home.readers(repository),
      orderSelf: (order) => inbound.order(order),
    })
    ends.defer(() => parted.mender.close())
    const { bans, announcer, seeder, swarms, scheduler, schedule, planner, swarm, mender } = parted
    const tags: Tags = new Tags({
      store,
      source: asked,
      membership,
      outbound,
      clock,
      log,
      ttlMs: settings.source.tagTtlMs,
      rights,
      door: source,
      owners: (key) => planner.owners(key),
      ...(kept ? { index: kept.index(identity.id, (repository) => home.source.has(repository)) } : {}),
    })
    const parts: Parts = new Parts({
      store,
      source: asked,
      membership,
      outbound,
      clock,
      ttlMs: settings.source.tagTtlMs,
      rights,
      owners: (key) => planner.owners(key),
    })

    /** A blob has become whole here without a transfer. */
    const stored = (digest: Digest) => {
      const blob = store.find(digest)
      if (blob) seeder.begun(blob)
      return parted.announce(digest)
    }
    const content = new NodeContent({ store, swarm, source: asked, tags })
    const ordered = (location: Location) => rights.ordered(location)
    const { calls } = network
    const about = { modes, calls, membership, outbound, clock, log, metrics }
    const preheat = preheatOf({ ...about, jobs: kept?.state.jobs, store, swarm, content, door: source, ordered })
    ends.defer(() => preheat.close())

    const lazy = new LazyLayers({
      ...{ dataDir, calls, store, swarm, content, identity, bans, membership, outbound, ordered, clock, log, metrics },
      ledger,
      setting: settings.lazy.layerIndex,
      maker: new ChildMaker(),
      atOnce: Math.max(1, Math.min(4, Math.floor(availableParallelism() / 2))),
      busy: () => !swarm.idle || seeder.uploads > 0,
      placeOf: (digest) => swarm.find(digest)?.location.repository,
      contains: (repository, digest) => rights.contains(repository, [digest]),
      owners: (digest) => rights.owners(digest),
      owned: (digest, repositories) => rights.owned(digest, repositories),
      stored,
    })
    parted.onChanged(lazy.heard)

    const history = new History()
    const remember = async () => history.add({ at: clock.wall(), ...(await readTotals(metrics)) })
    await remember()
    const stopRemembering = every(clock, spans['30m'].everyMs, () => void remember())
    ends.defer(stopRemembering)

    const vitals = new ClusterVitals({ membership, outbound, swarm, history, metrics, rates, clock })
    network.calls.on(vitalsCall, (request) => vitals.own(request))

    const engine: Engine = engineOf({
      setting: settings.engine.content,
      store,
      door: source,
      isHome: (repository) => home.source.has(repository),
      signer: identity,
      busy: () => !swarm.idle,
      came: ({ digest }) => parted.announce(digest),
      clock,
      random,
      log,
    })

    const answers = inboundOf({ modes, membership, swarm, seeder, scheduler, schedule, rights, tags, parts })
    const inbound = tracing?.inbound(answers) ?? answers
    home.join(network)
    kept?.join(network, bans, (repository) => home.lasting(repository))
    await network.join(inbound, {
      uploads: () => seeder.uploads,
      uploadSlots: seeder.uploadSlots,
      changes: (target, full) => announcer.changes(target, full),
    })
    ends.defer(() => swarm.close('the node ends'))
    mender.start()
    ends.defer(() => engine.close())
    engine.start()
    ends.defer(() => lazy.close())
    lazy.start()

    const pulls = pullLog({ clock, log, metrics }, (summary) => tracing?.pulls.pulled(summary))
    const homeParts = {
      network,
      store,
      signer: identity,
      open: (repository: Repository) => rights.given(repository, 'anyone'),
      stored,
      swarm,
      clock,
      log,
      metrics,
    }
    ends.defer(() => home.close())
    const aboutPushes = { settings, home, homeParts, kept, node: identity.id, content, random }
    const pushing = await pushingOf(aboutPushes, (end) => ends.defer(end))
    const { keeping, replication, policy } = pushing
    const contentFor = (visitor: Visitor) =>
      home.content(content, new GuardedContent({ content, rights, door: source }, visitor), homeParts)
    const files = fileLimit()
    const serving = {
      settings,
      content: contentFor,
      own: pushing.own,
      lazy,
      pulls,
      tracing,
      files,
      clock,
      random,
      log,
      metrics,
    }
    const registry = await registryPort(serving)
    ends.defer(() => registry.close(0))
    const registryAddress = formatAddress({ host: registry.hostname, port: registry.port })

    let closing = false
    const notReady = () => (closing ? ['the node is shutting down'] : [])
    const addresses = { registry: registryAddress, admin: formatAddress(settings.admin.address) }
    const view = viewOf({
      settings,
      addresses,
      ring,
      membership,
      store,
      bans,
      state: kept,
      mender,
      engine,
      swarm,
      seeder,
      swarms,
      preheats: preheat.preheats,
      keeping,
      replication,
      policy,
      lazy,
      levels,
      clock,
      metrics,
      rates,
      history,
      cluster: vitals,
      recent,
      endpoints: () => registries.endpoints(),
      notReady,
    })
    const { preheats } = preheat
    const port = await adminPort({ settings, view, metrics, log, preheats, registries, membership, notReady })
    admin = port
    addresses.admin = formatAddress(port.address)

    const stopWatching = watchFiles({
      clock,
      log,
      limit: files,
      open: openFiles,
      relieve: () => {
        registry.closeIdle()
        network.closeIdle()
        port.closeIdle()
      },
    })
    ends.defer(stopWatching)

    const told = { settings, self: membership.self, addresses, ring }
    logStarted(told, log)
    return {
      summary: () => summaryOf(told),
      reload: (read) => {
        keyFile?.reload()
        try {
          const { settings: now, changes } = read()
          sources.reroute(now)
          port.guard(now.admin.token)
          log.info('settings were read again', {
            changed: changes.now.join(', ') || 'nothing',
            ...(changes.atNextStart.length > 0 ? { wantsRestart: changes.atNextStart.join(', ') } : {}),
          })
          levels.configure(now.log.level)
        } catch (error) {
          log.error('the settings are not right; the node goes on with those it has', { error })
        }
      },
      close: async (reason) => {
        closing = true
        levels.close()
        log.info('node ends', { reason })
        await registry.close(drainMs)
        pulls.close()
        await seeder.drain(uploadDrainMs)
        await ends.disposeAsync()
      },
    }
  }
}
