import { expect, test } from 'bun:test'
import { bytesOf } from '../../test/fakes/bytes.ts'
import { FakeClock } from '../../test/fakes/clock.ts'
import { MemoryStore } from '../../test/fakes/memory-store.ts'
import { FakeSource } from '../../test/fakes/source.ts'
import { digestOf } from '../oci/digest.ts'
import { repositoryOf } from '../oci/reference.ts'
import { type Through, through } from './through.ts'

const pieceLength = 256 * 1024
const content = bytesOf(4 * pieceLength + 10)
const digest = digestOf(content)
const location = { repository: repositoryOf('docker.io', 'library/debian'), kind: 'blob', digest } as const

function setup() {
  const source = new FakeSource()
  source.add(content)
  const store = new MemoryStore({ clock: new FakeClock() })
  const blob = store.create({ digest, size: content.length, kind: 'blob' })
  const read = async (more: Partial<Through> = {}) => {
    const chunks: Uint8Array[] = []
    const signal = new AbortController().signal
    for await (const chunk of through({ source, location, size: content.length, signal, ...more })) {
      chunks.push(chunk.slice())
    }
    return new Uint8Array(Buffer.concat(chunks))
  }
  return { source, blob, read }
}
const piece = (i: number) => content.slice(i * pieceLength, (i + 1) * pieceLength)

test('all of it comes from the source, in order', async () => {
  expect(await setup().read()).toEqual(content)
})

test('nothing is a blob as well', async () => {
  const { source, read } = setup()
  const empty = source.add(new Uint8Array(0))
  expect(await read({ location: { ...location, digest: empty }, size: 0 })).toHaveLength(0)
})

test('what the client has is not given again, and what is stored is not read from the source again', async () => {
  const { source, blob, read } = setup()
  await blob.write(0, piece(0))
  await blob.write(1, piece(1))
  const doubts = [{ piece: 2, bytes: piece(2), filled: 1000 }]
  expect(await read({ blob, given: 2 * pieceLength + 1000, doubts })).toEqual(content.slice(2 * pieceLength + 1000))
  expect(source.calls).toEqual([`open ${digest} ${2 * pieceLength}`])
})

test('who wants it from some byte on gets that, and the source is read from the beginning to vouch for it', async () => {
  const { source, blob, read } = setup()
  expect(await read({ from: 2 * pieceLength + 5 })).toEqual(content.slice(2 * pieceLength + 5))
  expect(await read({ from: 4 * pieceLength + 5 })).toEqual(content.slice(4 * pieceLength + 5))
  await blob.write(0, piece(0))
  expect(await read({ blob, from: 1000 })).toEqual(content.slice(1000))
  const doubts = [{ piece: 1, bytes: piece(1), filled: 1000 }]
  expect(await read({ blob, from: 1000, given: pieceLength + 1000, doubts })).toEqual(content.slice(pieceLength + 1000))
  expect(source.calls).toEqual([0, 0, pieceLength, pieceLength].map((start) => `open ${digest} ${start}`))
})

test('the end of wrong bytes is not given to who wants only that', async () => {
  const { source, read } = setup()
  const wrong = content.slice()
  wrong[5]! ^= 1
  source.answer = () => ({
    size: content.length,
    mediaType: 'a/b',
    body: (async function* () {
      yield wrong
    })(),
  })
  await expect(read({ from: content.length - 5 })).rejects.toMatchObject({ code: 'corrupt' })
})

test.each([
  ['comes differently', [{ piece: 0, bytes: new Uint8Array(pieceLength), filled: 1000 }]],
  ['is unknown', []],
])('when what the client was given %s, it gets no more', async (_, doubts) => {
  const { read } = setup()
  await expect(read({ from: 0, given: 1000, doubts })).rejects.toMatchObject({ code: 'unavailable' })
})

test.each([
  ['another size', { size: content.length - 1 }, /were expected/],
  ['another digest', { location: { ...location, digest: digestOf(bytesOf(5)) } }, /there is no/],
] as const)('a source that has %s is not believed', async (_, more, message) => {
  await expect(setup().read(more)).rejects.toThrow(message)
})

test.each([
  ['short', content.subarray(0, 3 * pieceLength), /ended after/],
  ['long', bytesOf(5 * pieceLength), /more than/],
] as const)('a body that is too %s is broken off', async (_, bytes, message) => {
  const { source, read } = setup()
  source.answer = () => ({
    size: content.length,
    mediaType: 'a/b',
    body: (async function* () {
      yield bytes
    })(),
  })
  await expect(read()).rejects.toThrow(message)
})
