/** What becomes of a transfer, and of those who wait for it, when the store has its blob no longer. */
import { afterEach, beforeEach, expect, test } from 'bun:test'
import { SwarmNetwork } from '../../test/fakes/swarm-network.ts'
import { Failure } from '../failure.ts'

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
