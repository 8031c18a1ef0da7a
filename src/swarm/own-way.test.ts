/** When a node that gets nothing goes to the source itself, and when it trusts that others do. */
import { afterEach, beforeEach, expect, spyOn, test } from 'bun:test'
import { readPart } from '../../test/fakes/part-reader.ts'
import { FakeSession } from '../../test/fakes/session.ts'
import { pieceLength, SwarmNetwork } from '../../test/fakes/swarm-network.ts'
import { Failure } from '../failure.ts'
import { Gate } from '../rate.ts'
import { wireRules } from '../wire/rules.ts'

let network: SwarmNetwork
let blob: ReturnType<SwarmNetwork['blob']>

/** A scheduler; a seed that reads the source for longer than anybody waits, a chunk every half second; two peers. */
beforeEach(() => {
  network = new SwarmNetwork({
    nodes: 4,
    options: (index) => ({ modes: index === 0 ? ['scheduler'] : index === 1 ? ['seed'] : ['peer'] }),
  })
  blob = network.blob(150)
  const [, seed] = network.nodes
  seed!.source.gate = () => new Promise((resolve) => network.clock.after(250, resolve))
  // The seed reads on, and whoever asks it for a piece waits until the wire gives up.
  spyOn(seed!.seeder, 'offer').mockImplementation(
    () => new Promise((_, reject) => network.clock.after(wireRules.pieceDeadline, () => reject(new Error('too late')))),
  )
})
afterEach(() => network.close())

test('it does not while a scheduler says that a seed gets on with it, and does in the end', async () => {
  const peer = network.nodes[2]!
  const reader = peer.reader(blob.location)
  await network.until(() => false, 20_000)
  expect(network.nodes[1]!.source.sent).toBeGreaterThan(5_000_000)
  expect(peer.source.sent).toBe(0)
  expect(await network.until(() => peer.source.sent > 0, 40_000)).toBe(true)
  expect(await network.until(() => reader.over, 120_000)).toBe(true)
  expect(Buffer.concat(reader.read).equals(blob.bytes)).toBe(true)
}, 60_000)

test('it does soon when no scheduler answers any more', async () => {
  const peer = network.nodes[2]!
  const reader = peer.reader(blob.location)
  await network.until(() => peer.store.find(blob.digest) !== undefined, 5000)
  for (const node of network.nodes.slice(0, 2)) network.die(node)
  expect(await network.until(() => peer.source.sent > 0, 20_000)).toBe(true)
  expect(await network.until(() => reader.over)).toBe(true)
  expect(Buffer.concat(reader.read).equals(blob.bytes)).toBe(true)
}, 60_000)

test('a node through which a blob comes to others says once a second how far it is', async () => {
  const [, seed, peer] = network.nodes
  peer!.fetch(blob.location, blob.bytes.length)
  expect(await network.until(() => seed!.source.sent > 4_000_000)).toBe(true)
  // The first is for its size.
  const told = seed!.soonAt.slice(1)
  const gaps = told.slice(1).map((at, i) => at - told[i]!)
  expect(gaps.length).toBeGreaterThan(3)
  for (const gap of gaps) expect(gap).toBeWithin(1000, 2000)
  expect(peer!.soonAt.length).toBeLessThan(3)
}, 60_000)

test('children of a node are told when it begins to read the source', async () => {
  const [, , peer, child] = network.nodes
  network.die(network.nodes[1]!)
  peer!.source.gate = () => new Promise((resolve) => network.clock.after(250, resolve))
  const transfer = peer!.fetch(blob.location, blob.bytes.length)
  const session = new FakeSession(child!.id)
  peer!.swarm.frame(session, { t: 'want', digest: blob.digest })
  expect(session.all('state').map(({ feeding }) => feeding)).toEqual([false])
  transfer.fetch(false)
  expect(session.all('state').map(({ feeding }) => feeding)).toEqual([false, true])
}, 60_000)

test('what was read from the source is stated when it is about to be recorded, or it would count for nothing after a restart', async () => {
  const peer = network.nodes[2]!
  // Four pieces come in less time than statements are gathered for.
  peer.source.gate = () => new Promise((resolve) => network.clock.after(5, resolve))
  peer.fetch(blob.location, blob.bytes.length).fetch(false)
  const unstated = () => {
    const held = peer.store.find(blob.digest)
    return [...(held?.have.indexes() ?? [])].filter((piece) => !held!.metainfo.known.has(piece))
  }
  expect(await network.until(() => unstated().length > 0)).toBe(true)
  peer.store.record()
  expect(unstated()).toEqual([])
}, 60_000)

test('a node that reads the source stops when the one that was named for it gets on with it again', async () => {
  const [, seed, peer] = network.nodes
  let open = () => {}
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  seed!.source.gate = async () => {
    await opened
    await new Promise<void>((resolve) => network.clock.after(5, resolve))
  }
  const reader = peer!.reader(blob.location)
  expect(await network.until(() => peer!.swarm.find(blob.digest) !== undefined, 5000)).toBe(true)
  peer!.source.gate = () => new Promise((resolve) => network.clock.after(50, resolve))
  peer!.fetch(blob.location).fetch(false)
  expect(await network.until(() => peer!.source.sent > 2_000_000)).toBe(true)
  spyOn(seed!.seeder, 'offer').mockRestore()
  open()
  expect(await network.until(() => reader.over)).toBe(true)
  expect(Buffer.concat(reader.read).equals(blob.bytes)).toBe(true)
  expect(peer!.source.sent).toBeLessThan(0.2 * blob.bytes.length)
  expect(network.sourceBytes).toBeLessThan(1.1 * blob.bytes.length)
}, 60_000)

test('a node that holds all of it and is only ever busy keeps nobody from the source', async () => {
  const [, holder, peer] = network.nodes
  holder!.source.gate = () => {}
  const whole = holder!.reader(blob.location)
  expect(await network.until(() => whole.over)).toBe(true)
  for (const node of network.nodes) {
    spyOn(node.seeder, 'offer').mockImplementation(() => Promise.reject(new Failure('too-many', 'busy')))
  }
  const reader = peer!.reader(blob.location)
  expect(await network.until(() => reader.over, 90_000)).toBe(true)
  expect(Buffer.concat(reader.read).equals(blob.bytes)).toBe(true)
}, 60_000)

test('nor one that was told to read parts from the source for others, who are not blamed for having nothing', async () => {
  const [scheduler, holder, peer, child] = network.nodes
  holder!.source.gate = () => {}
  const whole = holder!.reader(blob.location)
  expect(await network.until(() => whole.over)).toBe(true)
  for (const node of network.nodes) {
    spyOn(node.seeder, 'offer').mockImplementation(() => Promise.reject(new Failure('too-many', 'busy')))
  }
  peer!.swarm.order(blob.location, true, blob.bytes.length)
  child!.swarm.fetch(blob.location, blob.bytes.length, true)
  const parents = () =>
    peer!.swarm
      .find(blob.digest)!
      .describe()
      .parents.map(({ id }) => id)
  expect(await network.until(() => [holder, child].every((node) => parents().includes(node!.id)))).toBe(true)
  const questions = spyOn(scheduler!.scheduler!, 'schedule')
  const reader = readPart(peer!, blob.location, { start: 0, end: 10 })
  expect(await network.until(() => reader.over, 90_000)).toBe(true)
  expect(reader.bytes).toEqual(Buffer.from(blob.bytes.subarray(0, 10)))
  expect(peer!.source.sent).toBeLessThan(1_000_000)
  await network.until(() => false, 5000)
  const failed = questions.mock.calls.flatMap(([question]) => question.failed.map(({ node }) => node))
  expect([...new Set(failed)]).toEqual([holder!.id])
}, 60_000)

test('nor does its own limit, which lets a piece through every minute, make a node complain of others, or read the source', async () => {
  const [scheduler, holder, peer] = network.nodes
  blob = network.blob(4, 2)
  for (const node of network.nodes) spyOn(node.seeder, 'offer').mockRestore()
  holder!.source.gate = () => {}
  holder!.fetch(blob.location, blob.bytes.length)
  expect(await network.until(() => holder!.complete(blob.digest))).toBe(true)
  const questions = spyOn(scheduler!.scheduler!, 'schedule')
  peer!.limit = new Gate({ clock: network.clock, bytesPerSecond: pieceLength / 60 })
  peer!.fetch(blob.location, blob.bytes.length).keep()
  expect(await network.until(() => peer!.complete(blob.digest), 200_000)).toBe(true)
  expect(peer!.source.opened).toBe(0)
  const asked = questions.mock.calls.map(([question]) => question)
  expect(asked.filter(({ stalled, failed }) => stalled || failed.length > 0)).toEqual([])
}, 60_000)
