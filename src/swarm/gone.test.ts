/** What becomes of a transfer, and of those who wait for it, when the store has no such blob: no longer, or not at all. */
import { afterEach, beforeEach, describe, expect, spyOn, test } from 'bun:test'
import { FakeSession } from '../../test/fakes/session.ts'
import { pieceLength, SwarmNetwork } from '../../test/fakes/swarm-network.ts'
import { Failure } from '../failure.ts'
import { Bitmap } from '../piece/bitmap.ts'

let network: SwarmNetwork
let blob: ReturnType<SwarmNetwork['blob']>
beforeEach(() => {
  network = new SwarmNetwork({ nodes: 2 })
  blob = network.blob(4)
})
afterEach(() => network.close())

const codeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => 'done',
    (error) => Failure.from(error).code,
  )

test('it ends, those who wait for a piece hear of it, and the next one begins anew', async () => {
  const node = network.nodes[1]!
  for (const { source } of network.nodes) source.gate = () => new Promise<void>(() => {})
  const transfer = node.fetch(blob.location, blob.bytes.length)
  const waiting = codeOf(transfer.piece(transfer.reader(), 1, new AbortController().signal))
  const before = transfer.blob!
  // It comes to have another size, which starts it over.
  node.store.create({ digest: blob.digest, size: blob.bytes.length + 1, kind: 'blob' })
  expect(before.gone).toBe(true)
  expect(await waiting).toBe('unavailable')
  expect(node.swarm.find(blob.digest)).toBeUndefined()
  for (const { source } of network.nodes) source.gate = () => {}
  const next = node.fetch(blob.location, blob.bytes.length)
  expect(await network.until(() => node.complete(blob.digest))).toBe(true)
  expect((await next.finished).gone).toBe(false)
})

test('one that was all here, and wrong, ends with that', async () => {
  const node = network.nodes[1]!
  const size = blob.bytes.length
  node.source.answer = () => ({
    ...{ size, mediaType: 'a/b' },
    body: (async function* () {
      yield new Uint8Array(size)
    })(),
  })
  const transfer = node.fetch(blob.location, size)
  transfer.fetch(false)
  const ended = codeOf(transfer.finished)
  expect(await network.until(() => node.swarm.find(blob.digest) !== transfer)).toBe(true)
  expect([transfer.blob!.gone, await ended]).toEqual([true, 'corrupt'])
})

test('a reader that leaves before the size is known waits no longer', async () => {
  const node = network.nodes[1]!
  for (const { source } of network.nodes) source.stat = () => new Promise(() => {})
  const transfer = node.fetch(blob.location)
  const leaver = new AbortController()
  const waiting = codeOf(transfer.piece(transfer.reader(), 0, leaver.signal))
  leaver.abort()
  expect(await Promise.race([waiting, Bun.sleep(1000).then(() => 'waits')])).toBe('cancelled')
})

describe('a blob that the store does not take at its beginning', () => {
  const full = new Failure('no-space', 'no room to note that an older one is gone; free some space')

  test('ends the transfer with the reason, and the next one begins anew', async () => {
    const node = network.nodes[1]!
    const create = spyOn(node.store, 'create').mockImplementation(() => {
      throw full
    })
    const transfer = node.fetch(blob.location, blob.bytes.length)
    expect(await codeOf(transfer.begun)).toBe('no-space')
    expect(node.swarm.find(blob.digest)).toBeUndefined()
    create.mockRestore()
    const next = node.fetch(blob.location, blob.bytes.length)
    expect((await next.begun).size).toBe(blob.bytes.length)
  })

  test('costs the parent that told its size nothing, nor what else its session is for', async () => {
    const node = network.nodes[1]!
    for (const { source } of network.nodes) source.stat = () => new Promise(() => {})
    const transfer = node.fetch(blob.location)
    const session = new FakeSession('ann')
    node.swarm.frame(session, { t: 'want', digest: blob.digest })
    spyOn(node.store, 'create').mockImplementation(() => {
      throw full
    })
    const size = blob.bytes.length
    const have = new Bitmap(4).bytes.toBase64()
    // What throws here closes the session.
    node.swarm.frame(session, {
      t: 'state',
      digest: blob.digest,
      size,
      pieceLength,
      kind: 'blob',
      feeding: false,
      have,
    })
    expect([await codeOf(transfer.finished), session.open]).toEqual(['no-space', true])
    expect(node.bans.has('ann')).toBe(false)
  })
})
