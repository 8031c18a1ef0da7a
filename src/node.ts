/**
 * A node, put together. Read from top to bottom: store, network, swarm, scheduler, content, the ports; and the same in
 * reverse when it ends. Longer than most files, for it is the one place where all parts are named.
 */
import { randomBytes } from 'node:crypto'
import { createAdmin, serveAdmin } from './admin/admin.ts'
import { buildInfo } from './build-info.ts'
import { type Clock, every, systemClock } from './clock.ts'
import { Identity } from './cluster/identity.ts'
import { KeyFile } from './cluster/key-file.ts'
import type { KeyRing } from './cluster/key-ring.ts'
import { Roster } from './cluster/roster.ts'
import type { Changes } from './config/reload.ts'
import { tellExposed } from './config/secret-file.ts'
import type { Settings } from './config/settings.ts'
import { bringWhole } from './content/bring.ts'
import { Files } from './content/files.ts'
import { GuardedContent } from './content/guarded-content.ts'
import { NodeContent } from './content/node-content.ts'
import { Parts } from './content/parts.ts'
import { Tags } from './content/tags.ts'
import { type Engine, engineOf } from './engine/of-node.ts'
import { Failure } from './failure.ts'
import { connectionsFor, fileLimit, openFiles, watchFiles } from './file-limit.ts'
import { harbor } from './harbor/harbor.ts'
import { harden } from './hardening.ts'
import { backendOf } from './home/backend-of.ts'
import { Keeping } from './home/keeping.ts'
import { ownBinary } from './install/own-binary.ts'
import { idleRule } from './keep/idle.ts'
import { formatAddress, isLoopback } from './listen.ts'
import { Meter } from './meter.ts'
import { NodeHome } from './node-home.ts'
import { NodeState } from './node-state.ts'
import { viewOf } from './node-view.ts'
import type { Digest } from './oci/digest.ts'
import type { Repository } from './oci/reference.ts'
import { preheatOf } from './preheat/assembly.ts'
import { homePin } from './push/pusher.ts'
import { Bucket, Gate } from './rate.ts'
import { createRegistry, pullLog } from './registry/registry.ts'
import { serveRegistry, serverLimits } from './registry/server.ts'
import { replicationOf } from './replicate/assembly.ts'
import { Rights } from './rights/rights.ts'
import type { Visitor } from './rights/visitor.ts'
import { Scheduler } from './scheduler/service.ts'
import { Swarms } from './scheduler/swarms.ts'
import { Courtesy } from './source/courtesy.ts'
import { FileSource, type FileSourceOptions } from './source/file-source.ts'
import { RegistrySource, type SourceLimit } from './source/registry-source.ts'
import type { Location } from './source/source.ts'
import { Sources } from './source/sources.ts'
import type { ListedUpstreams } from './source/upstreams.ts'
import { DiskStore } from './store/disk-store.ts'
import { Announcer } from './swarm/announcer.ts'
import { Bans } from './swarm/bans.ts'
import { Mender } from './swarm/mender.ts'
import { Planner } from './swarm/planner.ts'
import { Seeder } from './swarm/seeder.ts'
import { Swarm } from './swarm/swarm.ts'
import { defaultTuning } from './swarm/tuning.ts'
import { Recent } from './telemetry/faults.ts'
import { History, readTotals, spans } from './telemetry/history.ts'
import type { Fields, Log, LogLevel } from './telemetry/log.ts'
import { LogLevels } from './telemetry/log-level.ts'
import { createMetrics } from './telemetry/metrics.ts'
import { createLog } from './telemetry/pino.ts'
import { Tracing } from './tracing/tracing.ts'
import { dashboard } from './ui/dashboard.ts'
import { ClusterVitals } from './vitals.ts'
import type { Schedule } from './wire/messages.ts'
import { Network } from './wire/network.ts'
import type { Inbound } from './wire/wire.ts'

export interface RunningNode {
  /** Lines that say where it listens and what to do next. */
  summary(): string[]
  /** Resolves when it has ended; rejects with what ended it. */
  readonly closed: Promise<void>
  /** Takes over the settings that it can, and the cluster's keys; what is not right changes nothing. Never throws. */
  reload(read: () => { settings: Settings; changes: Changes }): void
  /** Stops taking requests, lets those under way finish for a bounded time, and ends. */
  close(reason: string): Promise<void>
}

/** How long responses to engines, and then pieces to other nodes, may take to finish when the node ends. */
const drainMs = 15_000
const uploadDrainMs = 5_000

/** @throws {Failure | ListenError} what keeps the node from starting, in one sentence with the remedy */
export async function startNode(settings: Settings): Promise<RunningNode> {
  const clock = systemClock
  const random = Math.random
  const metrics = createMetrics()
  const recent = new Recent(clock)
  const written = (level: LogLevel, message: string, fields?: Fields) => {
    metrics.logLines.inc({ level })
    recent.add(level, message, fields)
  }
  const log = createLog({ ...settings.log, written })
  const levels = new LogLevels(log, clock)
  const unhardened = harden()
  if (unhardened !== undefined) log.warn('this process is less shut off than it could be', { reason: unhardened })
  metrics.buildInfo.set({ version: buildInfo.version, commit: buildInfo.commit, bun: Bun.version }, 1)
  const undo: (() => void | Promise<void>)[] = []
  try {
    return await start()
  } catch (error) {
    for (const step of undo.reverse()) await step()
    throw error
  }

  async function start(): Promise<RunningNode> {
    const { modes, dataDir, zone, advertise } = settings.node
    const { keyFile: keyPath, encrypt } = settings.cluster
    const keyFile = keyPath === undefined ? undefined : new KeyFile(keyPath, clock, log)
    for (const file of [
      settings.admin.tokenFile,
      settings.source.credentialsFile,
      settings.keeping.credentialsFile,
      settings.state.passwordFile,
    ])
      if (file) tellExposed(file, log)
    const ring = keyFile?.ring
    undo.push(() => keyFile?.close())
    const idle = idleRule(settings.store.keep, settings.store.cacheTtlMs, clock)
    const store = await DiskStore.open({
      dir: dataDir,
      limitBytes: settings.store.cacheBytes,
      keepFree: settings.store.keepFree,
      ...(settings.store.cacheTtlMs === undefined ? {} : { ttlMs: settings.store.cacheTtlMs }),
      ...(idle ? { idle } : {}),
      clock,
      log,
      metrics,
    })
    undo.push(() => store.close())
    const kept = await NodeState.open(settings, { clock, log, metrics })
    undo.push(() => kept?.close())
    const identity = await Identity.load(dataDir)
    const tracing = await tracingOf(settings, identity.id, clock, log)
    undo.push(() => tracing?.close())

    const { downloadRate, uploadRate, sourceRate } = settings.limits
    const started = clock.now()
    const rates = { received: new Meter(started), sent: new Meter(started), source: new Meter(started) }
    const sourceGate = sourceRate === undefined ? undefined : new Gate({ clock, bytesPerSecond: sourceRate })
    const courtesy = new Courtesy(clock)
    const sourceLimit: SourceLimit = async (bytes, digest) => {
      rates.source.add(bytes, clock.now())
      const unread = digest !== undefined && (swarm.find(digest)?.background ?? false)
      const background = unread && !seeder.wanted(digest)
      if (!sourceGate) return courtesy.pass(bytes, background)
      await sourceGate.enter(bytes, { of: digest ?? '', background })
      sourceGate.leave()
    }

    const sourceOptions: FileSourceOptions = {
      upstreams: upstreamsOf(settings),
      onlyListed: settings.source.onlyListed,
      ...(settings.source.caFile === undefined ? {} : { caFile: settings.source.caFile }),
      clock,
      random,
      log,
      metrics,
      limit: sourceLimit,
      admitted: (repository, asker) => rights.given(repository, asker),
    }
    const { credentialsFile } = settings.source
    const registries = new RegistrySource({ ...sourceOptions, ...(credentialsFile ? { credentialsFile } : {}) })
    undo.push(() => registries.close())
    const webServers = new FileSource(sourceOptions)
    const urls = new Files({
      source: webServers,
      store,
      dir: dataDir,
      clock,
      log,
      stored: (repository, digest) => {
        rights.contains(repository, [digest])
        const owner = announcer.changed(digest)
        if (owner) network.announceSoon(owner)
      },
    })
    undo.push(() => urls.close())
    const { caFile } = settings.source
    const home: NodeHome = new NodeHome({
      settings,
      state: kept?.state,
      backend: (url) =>
        backendOf(url, {
          env: process.env,
          clock,
          random,
          log,
          metrics,
          limit: (bytes) => sourceLimit(bytes, undefined),
          ...(caFile === undefined ? {} : { caFile }),
          ...(credentialsFile ? { dockerFile: credentialsFile } : {}),
          ...(settings.keeping.credentialsFile ? { awsFile: settings.keeping.credentialsFile } : {}),
        }),
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
      key: randomBytes(32),
      learned: (digest) => {
        const blob = store.find(digest)
        if (blob) seeder.begun(blob)
      },
      placed: (digest) => engine.heard(digest),
      renew: (repository) => tags.renew(repository),
      inquire: (location, widely) => parts.inquire(location, widely),
    })

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
    undo.push(() => network.close())
    const { membership, directory } = network
    const outbound = tracing?.outbound(network.outbound) ?? network.outbound

    const bans = new Bans({ store, clock, log, metrics })
    const announcer = new Announcer(store, () => membership)
    const seeder: Seeder = new Seeder({
      store,
      clock,
      feeding: (digest) => swarm.find(digest)?.leads ?? false,
      owners: (digest) => rights.owners(digest),
      limit: uploadRate === undefined ? undefined : new Bucket(uploadRate, started),
      sent: rates.sent,
    })
    const swarms = modes.includes('scheduler') ? new Swarms(random, settings.source.zone) : undefined
    const scheduler =
      swarms &&
      new Scheduler({
        swarms,
        membership,
        outbound,
        clock,
        log,
        metrics,
        readers: (repository) => home.readers(repository),
        orderSelf: (order) => inbound.order(order),
      })
    const choose = (request: Schedule) => {
      if (!scheduler) throw new Failure('no-name', 'this node is not a scheduler')
      return scheduler.schedule(request)
    }
    const schedule = tracing?.schedule(choose) ?? choose
    const planner = new Planner({
      membership,
      outbound,
      directory,
      log,
      metrics,
      ...(scheduler ? { local: schedule } : {}),
    })
    const swarm: Swarm = new Swarm({
      store,
      outbound,
      membership,
      planner,
      source: asked,
      signer: identity,
      bans,
      clock,
      random,
      log,
      metrics,
      tuning: defaultTuning,
      seeder,
      directory,
      owned: (digest, repositories) => rights.owned(digest, repositories),
      complaint: (digest, piece) => mender.complaint(digest, piece),
      ...(tracing ? { traced: (location, begin) => tracing.transfers.bring(location, begin) } : {}),
      verify: (node, payload, signature) => identity.verifySignature(node, payload, signature),
      changed: (digest, soon) => {
        const owner = announcer.changed(digest)
        if (owner && soon) network.announceSoon(owner)
      },
    })
    const mender: Mender = new Mender({
      store,
      signer: identity,
      fetch: (location, size) => swarm.fetch(location, size),
      everyMs: settings.store.scrubEveryMs,
      clock,
      log,
      metrics,
    })
    undo.push(() => mender.close())
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

    const content = new NodeContent({ store, swarm, source: asked, tags })
    const ordered = (location: Location) => rights.ordered(location)
    const { calls } = network
    const about = { modes, calls, membership, outbound, clock, log, metrics }
    const preheat = preheatOf({ ...about, jobs: kept?.state.jobs, store, swarm, content, door: source, ordered })
    undo.push(() => preheat.close())

    const history = new History()
    const remember = async () => history.add({ at: clock.wall(), ...(await readTotals(metrics)) })
    await remember()
    const stopRemembering = every(clock, spans['30m'].everyMs, () => void remember())
    undo.push(stopRemembering)

    const vitals = new ClusterVitals({ membership, outbound, swarm, history, metrics, rates, clock })

    const engine: Engine = engineOf({
      setting: settings.engine.content,
      store,
      door: source,
      signer: identity,
      busy: () => !swarm.idle,
      came: ({ digest }) => {
        const owner = announcer.changed(digest)
        if (owner) network.announceSoon(owner)
      },
      clock,
      random,
      log,
    })

    const roster = new Roster(membership)
    const answers: Inbound = {
      opened: () => swarm.opened(),
      frame: (session, frame) => swarm.frame(session, frame),
      closed: (session, reason) => swarm.closed(session, reason),
      offer: (digest, wanted, peer, signal) => seeder.offer(digest, wanted, peer, signal),
      order: (order) => {
        if (!modes.includes('seed')) throw new Failure('no-name', 'this node is not a seed')
        rights.ordered(order.location)
        swarm.order(order.location)
      },
      schedule,
      announce: (announce) => {
        scheduler?.announce(announce)
        return { epoch: membership.self.epoch, ...roster.since(announce.known) }
      },
      resolve: (request) => ('tag' in request ? tags.answer(request) : parts.answer(request)),
      vitals: (request) => vitals.own(request),
    }
    const inbound = tracing?.inbound(answers) ?? answers
    home.join(network)
    kept?.join(network, bans, (repository) => home.source.has(repository))
    await network.join(inbound, {
      uploads: () => seeder.uploads,
      uploadSlots: seeder.uploadSlots,
      changes: (target, full) => announcer.changes(target, full),
    })
    undo.push(() => swarm.close('the node ends'))
    mender.start()
    undo.push(() => engine.close())
    engine.start()

    const pulls = pullLog({ clock, log, metrics }, (summary) => tracing?.pulls.pulled(summary))
    const homeParts = {
      network,
      store,
      signer: identity,
      open: (repository: Repository) => rights.given(repository, 'anyone'),
      stored: (digest: Digest) => {
        const blob = store.find(digest)
        if (blob) seeder.begun(blob)
        const owner = announcer.changed(digest)
        if (owner) network.announceSoon(owner)
      },
      swarm,
      clock,
      log,
      metrics,
    }
    const own = await home.serve(homeParts)
    if (kept) home.pusher?.onPushed(kept.pushed)
    undo.push(() => home.close())
    const keeping = new Keeping({
      homes: home.homes,
      state: kept?.state,
      seed: modes.includes('seed'),
      store,
      bring: (location, size, signal) => bringWhole({ store, swarm }, location, size, signal),
      mode: settings.keeping.write,
      pinnedFor: homePin,
      clock,
      random,
      log,
      metrics,
    })
    home.pusher?.onPushed((event) => keeping.pushed(event))
    keeping.start()
    undo.push(() => keeping.close())
    const aboutState = { settings, state: kept?.state, node: identity.id, clock, random, log, metrics }
    const replication = replicationOf({ ...aboutState, content: home.content(content, content, homeParts) })
    undo.push(() => replication?.close())
    const policy = home.policy({ ...aboutState, store })
    undo.push(() => policy?.close())
    const contentFor = (visitor: Visitor) =>
      home.content(content, new GuardedContent({ content, rights, door: source }, visitor), homeParts)
    const files = fileLimit()
    const app = createRegistry({
      content: contentFor,
      own,
      log,
      metrics,
      clock,
      random,
      pulls: tracing?.pulls.tracked(pulls) ?? pulls,
      ...(tracing ? { traced: (exchange, request, work) => tracing.pulls.request(exchange, request, work) } : {}),
    })
    const registry = await serveRegistry(app, {
      hostname: settings.registry.address.host,
      port: settings.registry.address.port,
      limits: { connections: connectionsFor(serverLimits.connections, files) },
      uploads: own?.pushing !== undefined,
      clock,
      log,
    })
    undo.push(() => registry.close(0))
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
    const { token } = settings.admin
    const binary = ownBinary()
    const guard = { log, ...(token ? { token } : {}) }
    const provider = harbor({
      ...guard,
      preheats: preheat.preheats,
      names: (url) => registries.leadingTo(url),
      notReady,
      addressOf: (node) => membership.find(node)?.url,
    })
    const options = { ...guard, pages: dashboard(), provider, ...(binary ? { binary } : {}) }
    const admin = serveAdmin(createAdmin(view, metrics, options), settings.admin.address)
    undo.push(() => admin.close())
    addresses.admin = formatAddress(admin.address)

    const stopWatching = watchFiles({
      clock,
      log,
      limit: files,
      open: openFiles,
      relieve: () => {
        registry.closeIdle()
        network.closeIdle()
        admin.closeIdle()
      },
    })
    undo.push(stopWatching)

    const closed = Promise.withResolvers<void>()
    log.info('node started', {
      version: buildInfo.version,
      node: membership.self.id,
      modes: modes.join(','),
      registry: addresses.registry,
      peer: membership.self.url,
      admin: addresses.admin,
      cluster: ring ? `keyed (${ring})` : 'open',
      encrypted: encrypt,
    })
    // Who reads text is told by the summary.
    if (!ring && settings.log.format === 'json' && !isLoopback(settings.peer.address.host)) {
      log.warn('the cluster is open: any host that reaches the peer port can join and read cached images', {
        mend: 'make a key with "shoal keygen", and give it to every node with --cluster-key-file',
      })
    }
    return {
      summary: () => summaryOf(settings, membership.self, addresses, ring),
      closed: closed.promise,
      reload: (read) => {
        keyFile?.reload()
        try {
          const { settings: now, changes } = read()
          for (const each of [registries, webServers]) each.reroute(upstreamsOf(now), now.source.onlyListed)
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
        await home.close()
        pulls.close()
        await seeder.drain(uploadDrainMs)
        await preheat.close()
        await keeping.close()
        await replication?.close()
        await policy?.close()
        mender.close()
        engine.close()
        urls.close()
        registries.close()
        swarm.close('the node ends')
        await network.close()
        await tracing?.close()
        keyFile?.close()
        await kept?.close()
        await store.close()
        await admin.close()
        stopWatching()
        stopRemembering()
        closed.resolve()
      },
    }
  }
}

/** Undefined where nothing is traced: then nothing of it is loaded either. */
async function tracingOf({ trace, node }: Settings, id: string, clock: Clock, log: Log): Promise<Tracing | undefined> {
  if (trace.endpoint === undefined) return undefined
  const { createTraces } = await import('./telemetry/otel.ts')
  const { version } = buildInfo
  return new Tracing(createTraces({ endpoint: trace.endpoint, version, node: id, zone: node.zone, clock, log }), clock)
}

function upstreamsOf({ source }: Settings): ListedUpstreams {
  const byRegistry = Map.groupBy(source.upstreams, ({ registry }) => registry)
  return new Map([...byRegistry].map(([registry, all]) => [registry, all.map(({ url }) => ({ url: new URL(url) }))]))
}

function summaryOf(
  settings: Settings,
  self: { id: string; url: string; p2p: readonly string[] },
  addresses: { registry: string; admin: string },
  ring: KeyRing | undefined,
): string[] {
  const { join, mdns } = settings.p2p
  const found = [...(mdns ? ['mDNS'] : []), ...(join.length > 0 ? [`the seed list ${join.join(', ')}`] : [])]
  return [
    `shoal ${buildInfo.version}, node ${self.id}`,
    `  modes      ${settings.node.modes.join(', ')}`,
    `  registry   http://${addresses.registry}   the mirror for this host's engine`,
    `  peers      ${self.url}, libp2p ${self.p2p.join(', ')}`,
    `  admin      http://${addresses.admin}   health, metrics, API; the dashboard at /ui`,
    `  data       ${settings.node.dataDir}`,
    `  members    found by ${found.join(' and ') || 'nothing: this node stays alone (give --join, or drop --no-mdns)'}`,
    ring
      ? `  cluster    keyed, ${ring}: who does not hold the key neither joins nor reads`
      : '  cluster    OPEN: any host that reaches the peer port can join and read cached images (see shoal keygen)',
    `  traffic    ${settings.cluster.encrypt ? 'between nodes is encrypted' : 'between nodes is not encrypted (see --encrypt)'}`,
  ]
}
