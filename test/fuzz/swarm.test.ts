import { afterEach, expect, test } from 'bun:test'
import fc from 'fast-check'
import { Failure } from '../../src/failure.ts'
import { repositoryOf } from '../../src/oci/reference.ts'
import { hearFrame } from '../../src/wire/messages.ts'
import { bytesOf } from '../fakes/bytes.ts'
import { settle } from '../fakes/clock.ts'
import { LoneNode } from '../fakes/lone-node.ts'
import { FakeSession } from '../fakes/session.ts'
import * as right from './corpus.ts'
import { mutated } from './mutations.ts'

let node: LoneNode | undefined
afterEach(() => node?.close())

const signer = JSON.parse(right.frames[0]!).node.id as string

test('a node that is told nonsense by everybody gets the blob whole, and bans nobody who is not to blame', async () => {
  node = new LoneNode()
  const { swarm, source, store, bans, clock } = node
  const layer = bytesOf(3_000_000)
  const digest = source.add(layer)
  let open = () => {}
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  source.gate = () => opened
  const location = { repository: repositoryOf('docker.io', 'library/debian'), kind: 'blob' as const, digest }
  const transfer = swarm.fetch(location, layer.length)
  const corpus = right.frames.slice(1).map((text) => text.replace(/sha256:[0-9a-f]{64}/, digest))
  const sessions = Array.from({ length: 8 }, (_, i) => new FakeSession(`node-${i}`))
  for (const session of sessions) swarm.frame(session, { t: 'want', digest })
  const property = fc.property(mutated(corpus), fc.nat(7), (text, i) => {
    try {
      const frame = hearFrame(text)
      if (frame) swarm.frame(sessions[i]!, frame)
    } catch (error) {
      // Refused by the codec, as a session would: the swarm itself must not throw.
      if (!(error instanceof Failure && error.code === 'bad-request') && !(error instanceof SyntaxError)) throw error
    }
  })
  fc.assert(property, { numRuns: 3000, seed: 11 })
  transfer.fetch(true)
  open()
  for (let i = 0; i < 2000 && !store.find(digest)?.complete; i++) {
    await settle()
    clock.advance(100)
    // A lie that was believed ends the attempt, as an engine would try again.
    if (!swarm.find(digest)) swarm.fetch(location, layer.length).fetch(true)
  }
  expect(store.find(digest)?.complete).toBe(true)
  expect(Buffer.compare(await store.find(digest)!.read({ start: 0, end: layer.length }), layer)).toBe(0)
  for (const { node: banned } of bans.list()) expect(banned).toBe(signer)
})
