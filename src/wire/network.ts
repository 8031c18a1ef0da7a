/**
 * A node's place in the network, put together: the peer port, libp2p, the member table and what keeps it true.
 *
 * It comes up in two steps, because the swarm is built on it and it calls the swarm: `start` opens the ports and says
 * who this node is; `join` takes what answers the others, and goes to meet them. Longer than most, for all that a node
 * says and hears is wired here, and nowhere else.
 */
import { networkInterfaces } from 'node:os'
import type { Clock, Random } from '../clock.ts'
import { type Interfaces, isWildcard, outOfReach, pickPlace } from '../cluster/advertise.ts'
import type { Identity } from '../cluster/identity.ts'
import type { KeyRing } from '../cluster/key-ring.ts'
import { announceEvery, MemberTable, memberTimes } from '../cluster/member-table.ts'
import type { Membership } from '../cluster/membership.ts'
import { type Mode, modes, type NodeCard, type NodeId, type NodeInfo } from '../cluster/node-info.ts'
import { Tickets } from '../cluster/tickets.ts'
import { Failure } from '../failure.ts'
import { type Address, formatAddress } from '../listen.ts'
import type { Meter } from '../meter.ts'
import type { Log } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { Seldom } from '../telemetry/seldom.ts'
import type { Traces } from '../telemetry/traces.ts'
import { Admission } from './admission.ts'
import { Calls } from './calls.ts'
import { encrypt, plain } from './encryption.ts'
import { type AnnounceSource, Heartbeat } from './heartbeat.ts'
import { HttpWire, introduce } from './http-wire.ts'
import { LocalFirst } from './local.ts'
import { watchMembers } from './members.ts'
import { followPlace } from './own-place.ts'
import { KadDirectory } from './p2p/directory.ts'
import { Greeter, helloProtocol } from './p2p/hello.ts'
import { type Host, type HostOptions, multiaddrOf, portAt, readdress, startHost } from './p2p/host.ts'
import { parseJoin } from './p2p/join.ts'
import { Joiner } from './p2p/joiner.ts'
import { discover, type Found } from './p2p/mdns.ts'
import { meet, OwnKey, type Telling } from './p2p/twins.ts'
import { type RunningPeerServer, startPeerServer } from './peer-server.ts'
import { Prober } from './prober.ts'
import { spoken } from './protocol.ts'
import { routes } from './rules.ts'
import { Sessions } from './sessions.ts'
import { dialSocket, type Handshake } from './sockets.ts'
import type { Directory, Inbound, Outbound } from './wire.ts'

export interface NetworkOptions {
  readonly identity: Identity
  readonly version: string
  readonly modes: readonly Mode[]
  readonly zone: string | undefined
  readonly peerAddr: Address
  readonly p2pAddr: Address
  /** Host that the others reach this node at; picked from the interfaces if undefined, and followed when it changes. */
  readonly advertise: string | undefined
  /** This host's; those that the system names by default. */
  readonly interfaces?: () => Interfaces
  /** `host`, `host:port` or multiaddr. */
  readonly join: readonly string[]
  /** All addresses of a host name in there; the system's resolver by default. */
  readonly lookup?: (host: string) => Promise<readonly string[]>
  readonly mdns: boolean
  /** Undefined: an open cluster. */
  readonly ring: KeyRing | undefined
  /** Speak TLS with the others, and with no others. */
  readonly encrypt: boolean
  /** What it keeps for the cluster. */
  readonly homes?: readonly string[]
  /** Limit for pieces from other nodes, in bytes per second. */
  readonly downloadRate: number | undefined
  /** Counts pieces from other nodes. */
  readonly received: Meter | undefined
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly metrics: Metrics | undefined
  /** What a call belongs to, from node to node. */
  readonly traces?: Pick<Traces, 'carried' | 'continued'> | undefined
}

/** In a cluster with more schedulers than this they do not keep sessions. */
const mostStanding = 128
/** Longest wait for libp2p to close its connections. */
const stopDeadline = 3_000

export class Network {
  readonly membership: Membership
  readonly outbound: Outbound
  readonly directory: Directory
  /** Where parts of the node say what they answer to others. */
  readonly calls: Calls
  readonly #heartbeat: Heartbeat
  readonly #join: (inbound: Inbound, source: AnnounceSource) => Promise<void>
  readonly #stop: () => Promise<void>
  /** Gives up connections to the peer port on which nothing is asked or answered. */
  readonly closeIdle: () => void

  private constructor(parts: {
    membership: Membership
    outbound: Outbound
    directory: Directory
    calls: Calls
    heartbeat: Heartbeat
    join: (inbound: Inbound, source: AnnounceSource) => Promise<void>
    stop: () => Promise<void>
    closeIdle: () => void
  }) {
    this.membership = parts.membership
    this.outbound = parts.outbound
    this.directory = parts.directory
    this.calls = parts.calls
    this.#heartbeat = parts.heartbeat
    this.#join = parts.join
    this.#stop = parts.stop
    this.closeIdle = parts.closeIdle
  }

  /** @throws {ListenError} when a port cannot be had; {Failure} `bad-request` for a wrong seed list */
  static async start(options: NetworkOptions): Promise<Network> {
    const { identity, clock, random, log, metrics } = options
    const join = options.join.map(parseJoin)
    let self: NodeInfo | undefined
    let inbound: Inbound | undefined
    let source: AnnounceSource | undefined
    let sessions: Sessions | undefined
    let stopDiscovery = () => {}
    let stopFollowing = async () => {}
    const { ring } = options
    const agree = (node: NodeId) => identity.agree(node)
    const tickets = ring && new Tickets({ self: identity.id, agree, ring, clock, random })
    const seldom = new Seldom(clock)
    const { interfaces = networkInterfaces } = options
    const listenHost = options.peerAddr.host
    const found = interfaces()
    const place = pickPlace(found, listenHost)
    const follows = options.advertise === undefined && isWildcard(listenHost)
    let advertise = options.advertise ?? place.address
    // Another address later is one all the same, and those are always answered to.
    const admission = new Admission({ tickets, advertised: advertise, clock, log, metrics })
    const encryption = options.encrypt ? await encrypt(identity, clock) : plain

    const calls = new Calls()
    const server = startPeerServer({
      calls,
      address: options.peerAddr,
      self: () => self,
      inbound: () => inbound,
      sessions: () => sessions,
      admit: (request) => admission.admit(request),
      refused: (refusal, sender) => admission.refused(refusal, sender),
      certificate: await encryption.certificate(advertise),
      clock,
      log,
      metrics,
      traces: options.traces,
    })
    let accepted = 0
    const about = { advertise: () => advertise, accepted: () => void accepted++, seldom }
    const host = await hostOrClose(options, about, server)
    self = describe(options, advertise, server, host)
    const own = self
    const ownKey = new OwnKey({ log, seldom })
    ownKey.at(own.p2p)
    log.debug('the network is up', { node: self.id, url: self.url, p2p: self.p2p })
    const trouble = follows ? outOfReach(found, options.peerAddr, options.p2pAddr) : undefined
    if (trouble !== undefined) log.warn(trouble, { url: self.url })

    const table = new MemberTable(self, () => clock.now())
    watchMembers(table, log, seldom)
    const dial = dialSocket(clock, encryption, (node) => greeting({ self: own, tickets }, node))
    const opened = new Sessions({
      get self() {
        return cardOf(table.self)
      },
      handler: () => inbound,
      dial,
      heard: (id, at) => table.seen(id, at),
      lost: (id) => table.doubt(id),
      clock,
      log,
    })
    sessions = opened
    const { downloadRate, received } = options
    const http = new HttpWire({
      self,
      sessions: opened,
      tickets,
      encryption,
      downloadRate,
      received,
      notAdmitted: (node, why) => {
        seldom.tell('not admitted', (others) => {
          log.warn('another node does not admit this one', { node: node.id, url: node.url, reason: why, ...others })
        })
      },
      clock,
      metrics,
      traces: options.traces,
    })
    const outbound = new LocalFirst(self.id, () => inbound ?? notYet(), http, calls)
    const greeter = new Greeter({ table, clock, log, seldom })
    const joiner = new Joiner({
      ...{ host, greeter, table, join, lookup: options.lookup, clock, random, log },
      accepted: () => accepted,
      ownKey,
    })
    const directory = new KadDirectory({ host, joiner, table, clock, log })
    const prober = new Prober({ table, ping: (node) => http.ping(node), clock, log })
    const heartbeat = new Heartbeat({
      table,
      source: () => source,
      announce: (target, announce) => outbound.announce(target, announce),
      linked: (target) => linked(table, opened, target),
      clock,
      random,
      log,
      seldom,
    })

    const rediscover = () => {
      stopDiscovery()
      stopDiscovery = startDiscovery(options, table.self, advertise, joiner, ownKey)
    }
    const others = () => table.all().flatMap(({ info }) => (info.id === identity.id ? [] : [info]))
    /** To the others it is as if it had started anew there. */
    const move = async (to: string) => {
      const certificate = await encryption.certificate(to)
      if (certificate) await server.present(certificate)
      advertise = to
      await readdress(host)
      const former = table.self.url
      self = describe(options, to, server, host)
      ownKey.at(self.p2p)
      table.become(self)
      log.info('this host has another address now, and the node goes by that', { url: self.url, former })
      if (options.mdns) rediscover()
      void startOver(host, opened, 'this node has another address').then(() => joiner.tell(others()))
      heartbeat.renewed()
    }

    return new Network({
      membership: table,
      outbound,
      directory,
      calls,
      heartbeat,
      async join(from, announces) {
        inbound = heard(from, table, clock, { log, seldom })
        source = announces
        await host.handle(helloProtocol, (stream, connection) => greeter.answer(stream, connection))
        prober.start()
        heartbeat.start()
        joiner.start()
        host.addEventListener('peer:discovery', ({ detail }) => {
          joiner.found({ id: detail.id.toString(), addresses: detail.multiaddrs.map(String) })
        })
        if (options.mdns) rediscover()
        if (follows) stopFollowing = followPlace({ place, listenHost, interfaces, move, clock, log })
        ring?.onChange((gone) => {
          log.info('the cluster key was changed', {
            keys: String(ring),
            gone: gone.map(({ fingerprint }) => fingerprint),
          })
          if (options.mdns) rediscover()
          if (gone.length > 0) void startOver(host, opened, 'the cluster key was changed')
        })
      },
      async stop() {
        await stopFollowing()
        stopDiscovery()
        joiner.close()
        prober.close()
        directory.close()
        await heartbeat.close()
        opened.close()
        http.close()
        await Promise.race([host.stop(), new Promise<void>((resolve) => clock.after(stopDeadline, resolve))])
        await server.close()
      },
      closeIdle: () => server.closeIdle(),
    })
  }

  /** From now on the others are answered by `inbound`, and looked for. To be called once. */
  join(inbound: Inbound, source: AnnounceSource): Promise<void> {
    return this.#join(inbound, source)
  }

  /** What `source.changes` would return for that scheduler has changed: it is told soon, not with the next heartbeat; resolves then. */
  announceSoon(scheduler: NodeId): Promise<void> {
    return this.#heartbeat.changed(scheduler)
  }

  /** Says goodbye to the schedulers and closes everything; takes a few seconds at most. */
  close(): Promise<void> {
    return this.#stop()
  }
}

async function hostOrClose(
  options: NetworkOptions,
  about: Pick<HostOptions, 'advertise' | 'accepted' | 'seldom'>,
  server: RunningPeerServer,
): Promise<Host> {
  const { identity, p2pAddr, ring, log } = options
  try {
    return await startHost({ identity, address: p2pAddr, ring, mdns: options.mdns, log, ...about })
  } catch (error) {
    await server.close()
    throw error
  }
}

function startDiscovery(
  options: NetworkOptions,
  self: NodeInfo,
  advertise: string,
  joiner: Joiner,
  ownKey: OwnKey,
): () => void {
  const { ring, clock, random, log } = options
  const found = (node: Found) => joiner.found(node)
  const own = (addresses: readonly string[]) => ownKey.named(addresses)
  const about = { self: { id: self.id, addresses: self.p2p }, advertise, found, own, clock, random, log }
  // Under every key that admits: others may use another one first.
  const stops = (ring?.keys ?? [undefined]).map((clusterKey) => discover({ ...about, clusterKey }))
  return () => {
    for (const stop of stops) stop()
  }
}

function describe(options: NetworkOptions, advertise: string, server: RunningPeerServer, host: Host): NodeInfo {
  return {
    id: options.identity.id,
    url: `${options.encrypt ? 'https' : 'http'}://${formatAddress({ host: advertise, port: server.port })}`,
    p2p: [multiaddrOf(advertise, options.p2pAddr.port || portAt(host, advertise))],
    modes: modes.filter((mode) => options.modes.includes(mode)),
    ...(options.zone !== undefined && { zone: options.zone }),
    version: options.version,
    protocols: spoken,
    ...(options.homes && options.homes.length > 0 && { homes: [...options.homes] }),
    // Later starts have greater epochs, as long as the host's clock goes forward.
    epoch: `${options.clock.wall().toString(36)}-${Math.floor(options.random() * 0xffff_ffff).toString(36)}`,
  }
}

function cardOf({ id, url, zone }: NodeInfo) {
  return zone === undefined ? { id, url } : { id, url, zone }
}

/** How this node begins a session. */
function greeting(from: Parameters<typeof introduce>[0], node: NodeCard): Handshake {
  const { headers, pass } = introduce(from, node, 'GET', routes.session)
  return { headers, secret: pass?.secret() }
}

/** Some connections may be of nodes that are members no more; the others come back at once. */
async function startOver(host: Host, sessions: Sessions, reason: string): Promise<void> {
  sessions.closeAll(reason)
  await Promise.allSettled(host.getConnections().map((connection) => connection.close()))
}

/**
 * Schedulers keep sessions with each other, for in a cluster where every node is one, announces would grow with the
 * square of it. The one with the smaller id opens them.
 */
function linked(table: MemberTable, sessions: Sessions, target: NodeInfo): boolean {
  const { self } = table
  const both = self.modes.includes('scheduler') && target.modes.includes('scheduler')
  if (both && self.id < target.id && !sessions.has(target.id) && table.withMode('scheduler').length <= mostStanding) {
    // If it cannot be had, announces do without it.
    void sessions.get(cardOf(target)).catch(() => {})
  }
  return sessions.has(target.id)
}

/** Whoever announces or asks for parents is alive, and says so itself. */
function heard(inbound: Inbound, table: MemberTable, clock: Clock, telling: Telling): Inbound {
  return {
    opened: (session) => inbound.opened(session),
    frame: (session, frame) => inbound.frame(session, frame),
    closed: (session, reason) => inbound.closed(session, reason),
    offer: (digest, wanted, peer, signal) => inbound.offer(digest, wanted, peer, signal),
    passOn: (digest, wanted, peer, signal) => inbound.passOn(digest, wanted, peer, signal),
    order: (order) => inbound.order(order),
    resolve: (request) => inbound.resolve(request),
    schedule(request) {
      if (table.self.modes.includes('scheduler')) meet(table, request.node, clock.now(), telling)
      return inbound.schedule(request)
    },
    announce(announce) {
      const { node } = announce
      if (announce.leaving) depart(table, node, clock.now())
      else meet(table, node, clock.now(), telling)
      const reply = inbound.announce(announce)
      const every = announceEvery(node.modes, table.size)
      if (every === memberTimes.period) return reply
      table.paced(node.id, every)
      return { ...reply, every }
    },
  }
}

/** @throws {Failure} `bad-request` when another process is the member, which stays one */
function depart(table: MemberTable, { id, epoch }: NodeInfo, now: number): void {
  const known = table.find(id)
  if (known && known.epoch !== epoch) throw new Failure('bad-request', `another process is the member ${id} here`)
  table.leave(id, now)
}

function notYet(): never {
  throw new Failure('unavailable', 'this node has not joined its cluster yet')
}
