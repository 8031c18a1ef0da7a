import { describe, expect, test } from 'bun:test'
import { digestOf } from '../oci/digest.ts'
import { type Arriving, Expected, Relays } from './relays.ts'

const KiB = 1024
const digest = digestOf(new TextEncoder().encode('blob'))
const piece = crypto.getRandomValues(new Uint8Array(256 * KiB))
const never = new AbortController().signal

/** Passes it on, and keeps what came. */
function passOn(relays: Relays, arriving: Arriving) {
  const { body, over } = relays.relay(arriving)
  const reader = body.getReader()
  return {
    over,
    cancel: () => reader.cancel(),
    /** All that there is; whether that is the end. */
    async rest(): Promise<{ bytes: Uint8Array; parts: number }> {
      const parts: Uint8Array[] = []
      for (;;) {
        const { value } = await reader.read()
        if (!value) return { bytes: Buffer.concat(parts), parts: parts.length }
        parts.push(value)
      }
    },
    async next(): Promise<number> {
      return (await reader.read()).value?.length ?? 0
    },
  }
}

describe('a piece that is passed on', () => {
  test('goes on as it comes, but for its last bytes, and those when it is verified', async () => {
    const relays = new Relays()
    const arriving = relays.expect(digest, 3)
    const memory = piece.slice()
    arriving.came(memory, 20 * KiB)
    const child = passOn(relays, (await relays.coming(digest, 3, never))!)
    expect(await child.next()).toBe(20 * KiB)
    // Too little to be worth a packet.
    arriving.came(memory, 21 * KiB)
    arriving.came(memory, 100 * KiB)
    expect(await child.next()).toBe(80 * KiB)
    arriving.came(memory, 256 * KiB)
    expect(await child.next()).toBe(140 * KiB)
    arriving.verified()
    // Its memory is used for something else at once.
    arriving.end()
    memory.fill(0)
    expect((await child.rest()).bytes).toEqual(Buffer.from(piece.subarray(240 * KiB)))
    expect([await child.over, relays.running]).toEqual([true, 0])
  })

  test('is whole for who comes when all of it is here', async () => {
    const relays = new Relays()
    const arriving = relays.expect(digest, 3)
    arriving.came(piece, piece.length)
    arriving.verified()
    const { bytes, parts } = await passOn(relays, (await relays.coming(digest, 3, never))!).rest()
    expect([Buffer.compare(bytes, piece), parts]).toEqual([0, 1])
  })

  test('is never whole where it is not what it should be, however small it is', async () => {
    for (const length of [1, 16 * KiB, 17 * KiB, piece.length]) {
      const relays = new Relays()
      const arriving = relays.expect(digest, 3)
      arriving.came(piece.subarray(0, length), length)
      const child = passOn(relays, (await relays.coming(digest, 3, never))!)
      arriving.end()
      expect((await child.rest()).bytes.length).toBeLessThan(length)
      expect([await child.over, relays.running]).toEqual([false, 0])
    }
  })

  test('waits for who takes it, and is over when that has taken it', async () => {
    const relays = new Relays()
    const arriving = relays.expect(digest, 3)
    arriving.came(piece, 100 * KiB)
    const child = passOn(relays, arriving)
    let over = false
    void child.over.then(() => {
      over = true
    })
    expect(await child.next()).toBe(100 * KiB)
    arriving.came(piece, piece.length)
    arriving.verified()
    arriving.end()
    await Bun.sleep(0)
    expect([over, relays.running]).toEqual([false, 1])
    expect((await child.rest()).bytes.length).toBe(156 * KiB)
    expect([await child.over, relays.running]).toEqual([true, 0])
  })

  test('may be given up by who takes it', async () => {
    const relays = new Relays()
    const arriving = relays.expect(digest, 3)
    arriving.came(piece, 100 * KiB)
    const child = passOn(relays, arriving)
    expect([await child.next(), relays.running]).toEqual([100 * KiB, 1])
    await child.cancel()
    expect([await child.over, relays.running]).toEqual([false, 0])
    arriving.came(piece, piece.length)
    arriving.verified()
  })
})

test('who was slow to pass something on is so for a while, and only so many are remembered', () => {
  const relays = new Relays()
  relays.wasSlow('ann', 1000)
  expect([relays.isSlow('ann', 15_999), relays.isSlow('ann', 16_000), relays.isSlow('bob', 1000)]).toEqual([
    ...[true, false, false],
  ])
  for (let i = 0; i < 1024; i++) relays.wasSlow(`node ${i}`, 1000)
  expect([relays.isSlow('ann', 1000), relays.isSlow('node 0', 1000)]).toEqual([false, true])
})

describe('who asks for a piece that is on its way', () => {
  test('waits until something of it is here, whichever request brings it', async () => {
    const relays = new Relays()
    const [first, second] = [relays.expect(digest, 3), relays.expect(digest, 3)]
    const waiting = relays.coming(digest, 3, never)
    first.end()
    second.came(piece, 1)
    expect(await waiting).toBe(second)
    second.end()
    // One that was not made yet when it began to wait.
    const old = relays.expect(digest, 4)
    const later = relays.coming(digest, 4, never)
    const made = relays.expect(digest, 4)
    old.end()
    made.came(piece, 1)
    expect(await later).toBe(made)
  })

  test('waits for requests of which it is not known yet what they bring', async () => {
    const relays = new Relays()
    const [some, other] = [new Expected(relays, digest), new Expected(relays, digest)]
    const waiting = relays.coming(digest, 3, never)
    some.bound(4)
    other.bound(3)
    other.came(piece, 1)
    expect((await waiting)?.begun).toBe(true)
    for (const each of [some, other]) each.end()
    const last = new Expected(relays, digest)
    const vain = relays.coming(digest, 3, never)
    last.end()
    expect(await vain).toBeUndefined()
  })

  test('is not given what one node sent before and what another sends now as one', async () => {
    const relays = new Relays()
    const request = new Expected(relays, digest)
    request.bound(3)
    request.came(
      piece.map((byte) => byte ^ 1),
      100 * KiB,
    )
    const child = passOn(relays, (await relays.coming(digest, 3, never))!)
    request.bound(3)
    request.came(piece, piece.length)
    request.verified()
    expect((await child.rest()).bytes.length).toBeLessThan(piece.length)
    expect(await child.over).toBe(false)
    const next = passOn(relays, (await relays.coming(digest, 3, never))!)
    request.end()
    expect(Buffer.compare((await next.rest()).bytes, piece)).toBe(0)
  })

  test('hears that it does not come after all', async () => {
    const relays = new Relays()
    const requests = [relays.expect(digest, 3), relays.expect(digest, 3)]
    const waiting = relays.coming(digest, 3, never)
    for (const each of requests) each.end()
    expect(await waiting).toBeUndefined()
    expect(await relays.coming(digest, 3, never)).toBeUndefined()
  })

  test('does not wait for what nobody has asked for, or when it has left', async () => {
    const relays = new Relays()
    relays.expect(digest, 3)
    expect(await relays.coming(digest, 4, never)).toBeUndefined()
    const left = new AbortController()
    const waiting = relays.coming(digest, 3, left.signal)
    left.abort()
    expect(await waiting).toBeUndefined()
    expect(await relays.coming(digest, 3, left.signal)).toBeUndefined()
  })

  test('goes elsewhere where too much is passed on already', async () => {
    const relays = new Relays()
    const arriving = relays.expect(digest, 3)
    arriving.came(piece, 1)
    const children: ReturnType<typeof passOn>[] = []
    while (children.length < 1000 && (await relays.coming(digest, 3, never))) children.push(passOn(relays, arriving))
    expect([children.length, relays.running, relays.full]).toEqual([32, 32, true])
    arriving.end()
    for (const child of children) expect((await child.rest()).bytes.length).toBe(0)
    expect([relays.running, relays.full]).toEqual([0, false])
  })
})
