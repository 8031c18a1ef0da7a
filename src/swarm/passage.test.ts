/** What a passage asks of whom; that it gives right bytes is in `src/content/no-room.test.ts`. */
import { afterEach, beforeEach, expect, spyOn, test } from 'bun:test'
import { pieceLength, SwarmNetwork } from '../../test/fakes/swarm-network.ts'
import type { SwarmNode } from '../../test/fakes/swarm-node.ts'
import { layoutOf } from '../piece/layout.ts'
import { Gate } from '../rate.ts'

let network: SwarmNetwork
let blob: ReturnType<SwarmNetwork['blob']>
let holders: SwarmNode[]
let node: SwarmNode
const never = new AbortController().signal

beforeEach(async () => {
  network = new SwarmNetwork({ nodes: 4, options: (index) => ({ modes: index === 0 ? ['scheduler'] : ['peer'] }) })
  blob = network.blob(200)
  holders = network.nodes.slice(1, 3)
  node = network.nodes[3]!
  for (const holder of holders) holder.fetch(blob.location, blob.bytes.length)
  expect(await network.until(() => holders.every((holder) => holder.complete(blob.digest)))).toBe(true)
})
afterEach(() => network.close())

test('one that nobody reads is told of nothing, and one that is read no more neither', async () => {
  const size = blob.bytes.length
  const [unread, over, read] = [1, 2, 3].map(() => node.swarm.passage(blob.location, size))
  const begun = over!.read(0, never)
  const first = begun.next()
  await network.until(() => false, 500)
  expect((await first).value!.length).toBeGreaterThan(0)
  await begun.return(undefined)
  const told = [unread, over, read].map((passage) => spyOn(passage!, 'again'))
  const reading = read!.read(0, never)
  void reading.next()
  // When a transfer of the blob ends, all who want it are told to say so again.
  node.fetch(blob.location, size).stop('enough')
  expect(told.map((spy) => spy.mock.calls.length)).toEqual([0, 0, 1])
  await network.until(() => false, 500)
  await reading.return(undefined)
})

test('a parent that says again what it holds is asked as much as before', async () => {
  const passage = node.swarm.passage(blob.location, blob.bytes.length)
  const [talker] = holders
  const asked = spyOn(talker!.seeder, 'offer')
  let pieces = 0
  for await (const _ of during(passage.read(0, never))) {
    pieces++
    // A seeder does when it has news of more than some pieces.
    if (pieces < 50 && pieces % 5 === 0) talker!.seeder.begun(talker!.store.find(blob.digest)!)
  }
  expect(pieces).toBe(layoutOf(blob.bytes.length).count)
  // Of the two that hold it.
  expect(asked.mock.calls.length).toBeGreaterThan(pieces / 3)
})

test('what its own limit keeps back is late nowhere: it blames nobody for that, and does not end', async () => {
  const [scheduler] = network.nodes
  const questions = spyOn(scheduler!.scheduler!, 'schedule')
  node.limit = new Gate({ clock: network.clock, bytesPerSecond: pieceLength / 10 })
  let read = 0
  for await (const bytes of during(node.swarm.passage(blob.location, blob.bytes.length).read(0, never))) {
    read += bytes.length
    if (read >= 4 * pieceLength) break
  }
  expect(read).toBe(4 * pieceLength)
  expect(questions.mock.calls.filter(([{ stalled, failed }]) => stalled || failed.length > 0)).toEqual([])
})

/** Time goes on while the next chunk is waited for. */
async function* during(chunks: AsyncGenerator<Uint8Array>): AsyncGenerator<Uint8Array> {
  for (;;) {
    let came = false
    const next = chunks.next().finally(() => {
      came = true
    })
    expect(await network.until(() => came)).toBe(true)
    const { value, done } = await next
    if (done) return
    yield value
  }
}
