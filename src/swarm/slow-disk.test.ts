/** A disk that is slower than the network: who waits for a part of a blob does not wait for it, and memory is not filled. */
import { afterEach, beforeEach, expect, type Mock, spyOn, test } from 'bun:test'
import { readPart } from '../../test/fakes/part-reader.ts'
import { pieceLength, SwarmNetwork } from '../../test/fakes/swarm-network.ts'
import { defaultTuning } from './download/tuning.ts'

let network: SwarmNetwork
let blob: ReturnType<SwarmNetwork['blob']>

/** A seed that has the blob, and a peer whose disk takes pieces only when it is let. */
beforeEach(async () => {
  network = new SwarmNetwork({ nodes: 2 })
  blob = network.blob(6)
  const [seed] = network.nodes
  seed!.fetch(blob.location, blob.bytes.length)
  expect(await network.until(() => seed!.complete(blob.digest))).toBe(true)
})
afterEach(() => network.close())

function slowDisk(peer = network.nodes[1]!) {
  const letIt = Promise.withResolvers<void>()
  const made = peer.store.create({ digest: blob.digest, size: blob.bytes.length, kind: 'blob' })
  const write = made.write.bind(made)
  spyOn(made, 'write').mockImplementation(async (piece, bytes) => {
    await letIt.promise
    await write(piece, bytes)
  })
  return { peer, made, goOn: letIt.resolve }
}

test('a part is read as soon as it is verified, and its pieces are stored when the disk takes them', async () => {
  const { peer, made, goOn } = slowDisk()
  const span = { start: pieceLength + 7, end: 3 * pieceLength + 9 }
  const reader = readPart(peer, blob.location, span)
  expect(await network.until(() => reader.over)).toBe(true)
  expect(reader.outcome).toBeUndefined()
  expect(Buffer.compare(reader.bytes!, blob.bytes.subarray(span.start, span.end))).toBe(0)
  expect(made.have.count).toBe(0)
  goOn()
  expect(await network.until(() => [1, 2, 3].every((piece) => made.have.has(piece)))).toBe(true)
})

test('no more comes than may be in memory while the disk takes none, and the rest when it does', async () => {
  blob = network.blob(200, 2)
  const [seed] = network.nodes
  seed!.fetch(blob.location, blob.bytes.length)
  expect(await network.until(() => seed!.complete(blob.digest))).toBe(true)
  const { peer, made, goOn } = slowDisk()
  peer.reader(blob.location)
  await network.until(() => false, 5000)
  const come = (made.write as unknown as Mock<typeof made.write>).mock.calls.length
  expect(come).toBeGreaterThan(0)
  expect(come).toBeLessThanOrEqual(defaultTuning.mostInFlight)
  goOn()
  expect(await network.until(() => peer.complete(blob.digest))).toBe(true)
})

test('who reads all of it is given what is stored', async () => {
  const { peer, goOn } = slowDisk()
  const reader = peer.reader(blob.location)
  await network.until(() => false, 2000)
  expect(reader.read.length).toBe(0)
  goOn()
  expect(await network.until(() => reader.over)).toBe(true)
  expect(Buffer.compare(Buffer.concat(reader.read), blob.bytes)).toBe(0)
})

test('a piece that is not what it should be is not read from memory either', async () => {
  const { peer, made } = slowDisk()
  network.nodes[0]!.forge = (_, bytes) => bytes.map((byte) => byte ^ 1)
  const reader = readPart(peer, blob.location, { start: 0, end: 10 })
  await network.until(() => reader.over || peer.bans.list().length > 0)
  expect(peer.bans.list().length).toBe(1)
  expect(made.write).not.toHaveBeenCalled()
  expect(reader.bytes).toBeUndefined()
})

test('what the source has sent in order is not asked for once more by who reads a part while the disk takes its time', async () => {
  blob = network.blob(40, 2)
  const { peer: seed, goOn } = slowDisk(network.nodes[0])
  const { source } = seed
  source.calls.length = source.sent = 0
  source.chunk = pieceLength
  source.gate = () => new Promise((resolve) => void network.clock.after(100, resolve))
  seed.fetch(blob.location, blob.bytes.length)
  expect(await network.until(() => source.sent >= 3 * pieceLength)).toBe(true)
  const reader = readPart(seed, blob.location, { start: 0, end: 2 * pieceLength }, { whole: true })
  await network.until(() => false, 1000)
  goOn()
  expect(await network.until(() => reader.over && seed.complete(blob.digest))).toBe(true)
  expect(Buffer.compare(reader.bytes!, blob.bytes.subarray(0, 2 * pieceLength))).toBe(0)
  expect(source.calls.filter((call) => call.startsWith('open'))).toEqual([`open ${blob.digest} 0`])
})
