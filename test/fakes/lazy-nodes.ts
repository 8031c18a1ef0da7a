/** Nodes that make and pass on indexes of layers, with stores on the disk; layers, the maker and the network are fakes. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { systemClock } from '../../src/clock.ts'
import { Identity } from '../../src/cluster/identity.ts'
import { MemberTable } from '../../src/cluster/member-table.ts'
import type { Mode } from '../../src/cluster/node-info.ts'
import type { LayerIndexSetting } from '../../src/config/settings.ts'
import { Failure } from '../../src/failure.ts'
import { LazyLayers } from '../../src/lazy/lazy.ts'
import { Ledger } from '../../src/lazy/ledger.ts'
import type { LayerFile, Maker } from '../../src/lazy/maker.ts'
import type { Fetching } from '../../src/lazy/making.ts'
import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { type Repository, repositoryOf } from '../../src/oci/reference.ts'
import { unlessAborted } from '../../src/source/retry.ts'
import type { Location } from '../../src/source/source.ts'
import type { DiskStore } from '../../src/store/disk-store.ts'
import { Bans } from '../../src/swarm/bans.ts'
import { silentLog } from '../../src/telemetry/log.ts'
import { createMetrics } from '../../src/telemetry/metrics.ts'
import { Calls } from '../../src/wire/calls.ts'
import { FakeContent } from './content.ts'
import { infoOf } from './members.ts'

export const repository = repositoryOf('docker.io', 'library/debian')

/** An index names its layer and the digest of that; a layer that begins with "one frame" has none. */
export class FakeMaker implements Maker {
  readonly made: Digest[] = []
  readonly checked: Digest[] = []
  /** While it is there, making waits for it. */
  gate: Promise<void> | undefined
  /** Writes something else than the index. */
  lies = false
  /** Its host has too little memory for any layer. */
  small = false

  async make({ digest, path, size }: LayerFile, out: string, progress: (bytes: number) => void, signal: AbortSignal) {
    this.made.push(digest)
    progress(size / 2)
    if (this.gate) await unlessAborted(this.gate, signal)
    if (this.small) throw new Failure('host-too-small', 'a seed with more memory can')
    const layer = readFileSync(path)
    if (digestOf(layer) !== digest) throw new Failure('corrupt', 'the file is not the layer')
    if (layer.toString('latin1').startsWith('one frame')) throw new Failure('unsupported', 'it is one zstd frame')
    const text = indexTextOf(layer)
    writeFileSync(out, this.lies ? text.replace('right', 'wrong') : text)
    return diffIdOf(layer)
  }
  async check({ digest, path }: LayerFile, index: string) {
    this.checked.push(digest)
    return readFileSync(index, 'utf8') === indexTextOf(readFileSync(path)) ? 'right' : 'wrong'
  }
  async about(index: string) {
    const [layer, diffId] = readFileSync(index, 'utf8').split(' ') as [Digest, Digest]
    return { layer, diffId }
  }
}

export const diffIdOf = (layer: Uint8Array) => digestOf(Buffer.concat([Buffer.from('unpacked '), layer]))
export const indexTextOf = (layer: Uint8Array) =>
  `${digestOf(layer)} ${diffIdOf(layer)} right ${'x'.repeat(600 * 1024)}`

const speed = 20

export class LazyNodes {
  readonly nodes: LazyNode[] = []
  /** What the source has. */
  readonly layers = new Map<Digest, Uint8Array>()
  /** Layers that were read from it. */
  readonly sourceReads: Digest[] = []
  /** Runs by itself, a good deal faster than others; and is moved on by {@link skip}. */
  readonly clock = {
    now: () => systemClock.now() * speed,
    wall: () => systemClock.wall() + systemClock.now() * (speed - 1),
    after: (ms: number, task: () => void) => systemClock.after(ms / speed, task),
  }
  readonly #openStore: (dir: string) => Promise<DiskStore>
  readonly #newDir: () => string

  constructor(stores: { newDir: () => string; openStore: (dir: string) => Promise<DiskStore> }) {
    this.#openStore = stores.openStore
    this.#newDir = stores.newDir
  }

  async add(modes: Mode[] = ['peer', 'seed', 'scheduler'], setting: LayerIndexSetting = 'asked'): Promise<LazyNode> {
    const dir = this.#newDir()
    const node = new LazyNode(this, await Identity.load(dir), dir, await this.#openStore(dir), modes, setting)
    this.nodes.push(node)
    for (const each of this.nodes) {
      for (const other of this.nodes) if (other !== each) each.membership.heard(other.membership.self, this.clock.now())
    }
    return node
  }

  /** So many ms go by in which nothing happens. */
  skip(ms: number): void {
    const { now, wall } = this.clock
    this.clock.now = () => now() + ms
    this.clock.wall = () => wall() + ms
  }

  publish(layer: Uint8Array): Location {
    const digest = digestOf(layer)
    this.layers.set(digest, layer)
    return { repository, kind: 'blob', digest }
  }

  async close(): Promise<void> {
    for (const node of this.nodes) await node.close()
  }
}

export class LazyNode {
  readonly maker = new FakeMaker()
  readonly metrics = createMetrics()
  readonly calls = new Calls()
  readonly membership: MemberTable
  readonly bans: Bans
  readonly lazy: LazyLayers
  readonly store: DiskStore
  readonly identity: Identity
  readonly ledgerPath: string
  readonly #ledger: Ledger
  alive = true
  busy = false
  /** What is on its way to it. */
  readonly coming = new Map<Digest, Repository>()
  /** Private repositories, by what they have. */
  readonly owners = new Map<Digest, Repository[]>()
  /** What it has from others. */
  readonly fetched: Digest[] = []
  /** While it is there, what it fetches from others waits for it. */
  gate: Promise<void> | undefined
  /** While it is there, nobody who names holders has heard of what was stored here. */
  telling: Promise<void> | undefined
  readonly #nodes: LazyNodes

  constructor(
    nodes: LazyNodes,
    identity: Identity,
    dir: string,
    store: DiskStore,
    modes: Mode[],
    setting: LayerIndexSetting,
  ) {
    this.#nodes = nodes
    this.store = store
    this.identity = identity
    this.ledgerPath = join(dir, 'shoal.layers.db')
    const { clock } = nodes
    const { metrics, maker, calls } = this
    const log = silentLog
    this.membership = new MemberTable(infoOf(identity.id, { modes }), () => clock.now())
    this.bans = new Bans({ store, clock, log, metrics })
    const { membership, bans } = this
    const ledger = Ledger.in(dir, log)
    this.#ledger = ledger
    this.lazy = new LazyLayers({
      ...{ setting, maker, atOnce: 1, ledger, store, identity, bans, membership, calls, clock, log, metrics },
      dataDir: dir,
      swarm: { fetch: (location) => this.#fetch(location) },
      content: new FakeContent(),
      outbound: {
        session: async () => {
          throw new Failure('unavailable', 'there are no sessions here')
        },
        call: async (to, call, request) => {
          const node = nodes.nodes.find((each) => each.identity.id === to.id)
          if (!node?.alive) throw new Failure('unavailable', 'it does not answer')
          return call.reply.parse(await node.calls.answer(call.name, JSON.parse(JSON.stringify(request)), identity.id))
        },
      },
      busy: () => this.busy,
      placeOf: (digest) => this.coming.get(digest),
      ordered: () => {},
      contains: (place, digest) => store.seenIn(digest, place),
      owners: (digest) => this.owners.get(digest) ?? [],
      owned: (digest, repositories) => {
        if (repositories.length > 0) this.owners.set(digest, [...repositories])
      },
      stored: async () => this.telling,
    })
  }

  index(location: Location, anew = false) {
    return this.lazy.indexes.index(location, anew, new AbortController().signal)
  }

  async close(): Promise<void> {
    await this.lazy.close()
    this.#ledger.close()
  }

  #fetch({ digest }: Location): ReturnType<Fetching['fetch']> {
    const bring = async () => {
      const { nodes, layers, sourceReads } = this.#nodes
      const held = this.store.find(digest)
      if (held?.complete) return held
      for (const { store, alive } of nodes) {
        const blob = alive ? store.find(digest) : undefined
        if (!blob?.complete) continue
        await this.gate
        this.fetched.push(digest)
        const copy = await this.store.put({ digest, kind: 'blob' }, await blob.read({ start: 0, end: blob.size }))
        for (const segment of blob.metainfo.segments) copy.learn(segment)
        return copy
      }
      const layer = layers.get(digest)
      if (!layer) throw new Failure('no-blob', 'the source does not have it')
      sourceReads.push(digest)
      return this.store.put({ digest, kind: 'blob' }, layer)
    }
    const finished = bring()
    finished.catch(() => {})
    return { begun: finished, finished, keep: () => () => {}, reader: () => 1, readerLeft: () => {}, meet: () => {} }
  }
}
