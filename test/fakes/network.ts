/** Real nodes on loopback, without a swarm on top: enough to see who meets whom. */
import { seededRandom, systemClock } from '../../src/clock.ts'
import { Identity } from '../../src/cluster/identity.ts'
import type { Membership } from '../../src/cluster/membership.ts'
import { Failure } from '../../src/failure.ts'
import { silentLog } from '../../src/telemetry/log.ts'
import type { AnnounceSource } from '../../src/wire/heartbeat.ts'
import type { Announce, Frame } from '../../src/wire/messages.ts'
import { Network, type NetworkOptions } from '../../src/wire/network.ts'
import type { Inbound, PieceOnDisk, PieceOnItsWay, Session, WantedPieces } from '../../src/wire/wire.ts'

/** Answers announces as a scheduler does, and keeps what it was told. */
export class FakeInbound implements Inbound {
  readonly announces: Announce[] = []
  readonly sessions: Session[] = []
  readonly frames: { from: string; frame: Frame }[] = []
  readonly closings: string[] = []
  membership: Membership | undefined
  /** What `offer` answers. */
  piece: ((signal: AbortSignal) => PieceOnDisk | Promise<PieceOnDisk>) | undefined

  opened(session: Session): void {
    this.sessions.push(session)
  }
  frame(session: Session, frame: Frame): void {
    this.frames.push({ from: session.peer.id, frame })
  }
  closed(_session: Session, reason: string): void {
    this.closings.push(reason)
  }
  async offer(_digest: string, _wanted: WantedPieces, _peer: string | undefined, signal: AbortSignal) {
    if (!this.piece) throw new Failure('no-blob', 'nothing here')
    return this.piece(signal)
  }
  /** What `passOn` answers. */
  coming: ((wanted: WantedPieces) => PieceOnItsWay) | undefined
  async passOn(_digest: string, wanted: WantedPieces) {
    return this.coming?.(wanted)
  }
  schedule() {
    return { parents: [], again: 1000 }
  }
  announce(announce: Announce) {
    this.announces.push(announce)
    const members = this.membership
      ? [...this.membership.withMode('scheduler'), ...this.membership.withMode('seed')]
      : []
    const unique = [...new Map(members.map((info) => [info.id, info])).values()]
    return { epoch: this.membership?.self.epoch ?? 'fake', members: unique }
  }
  order(): void {}
  async resolve(): Promise<never> {
    throw new Failure('no-manifest', 'no such tag')
  }
}

export const nothingToAnnounce: AnnounceSource = {
  uploads: () => 0,
  uploadSlots: 8,
  changes: () => ({ holdings: [], gone: [] }),
}

export interface TestNode {
  readonly network: Network
  readonly inbound: FakeInbound
  /** Its libp2p address, to join it by. */
  readonly p2p: string
}

export async function startTestNode(
  options: Partial<NetworkOptions> = {},
  source: AnnounceSource = nothingToAnnounce,
): Promise<TestNode> {
  const network = await Network.start({
    identity: await Identity.temporary(),
    version: '0.0.0-test',
    modes: ['peer', 'seed', 'scheduler'],
    zone: undefined,
    peerAddr: { host: '127.0.0.1', port: 0 },
    p2pAddr: { host: '127.0.0.1', port: 0 },
    advertise: undefined,
    join: [],
    mdns: false,
    ring: undefined,
    encrypt: false,
    downloadRate: undefined,
    received: undefined,
    clock: systemClock,
    random: seededRandom(7),
    log: silentLog,
    metrics: undefined,
    ...options,
  })
  const inbound = new FakeInbound()
  inbound.membership = network.membership
  await network.join(inbound, source)
  return { network, inbound, p2p: network.membership.self.p2p[0]! }
}

/** Waits for something that is bound to happen; the limit only keeps a broken test from hanging. */
export async function eventually(
  what: string,
  condition: () => boolean | Promise<boolean>,
  limit = 20_000,
): Promise<void> {
  const end = performance.now() + limit
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`did not happen: ${what}`)
    await Bun.sleep(10)
  }
}
