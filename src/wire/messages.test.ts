import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { unsaid } from '../../test/fakes/unsaid.ts'
import { mostBlobBytes } from '../piece/layout.ts'
import { frameSchema, hearFrame, parse } from './messages.ts'

const digest = `sha256:${'0a'.repeat(32)}`

const base64 = fc.oneof(
  fc.uint8Array({ maxLength: 130 }).map((bytes) => bytes.toBase64()),
  fc.constantFrom('', 'A', 'AA', 'AAA', 'AA==', 'AAA=', 'AB==', 'A===', 'AA==AAAA', 'AA-_', 'AA A', 'AAAA\n', null, 7),
)

/** Nearly right: what is wrong with one is wrong in one place. */
const frame = fc.record(
  {
    t: fc.constantFrom(
      'have',
      'got',
      'meta',
      'want',
      'unwant',
      'gone',
      'hello',
      'toString',
      'later',
      'later-2',
      'Later',
      '',
      1,
    ),
    digest: fc.oneof(fc.constant(digest), fc.constantFrom('sha256:00', '', null, 7)),
    piece: fc.oneof(fc.nat(), fc.constantFrom(-1, 0.5, 0xff_ffff, 0x100_0000, '1', null)),
    pieces: fc.oneof(
      fc.array(fc.oneof(fc.nat(0x100_0001), fc.constantFrom(-1, 0.5, '1', null)), { maxLength: 5 }),
      fc.constantFrom(null, {}, '12', Array(8193).fill(1), Array(8192).fill(1)),
    ),
    size: fc.oneof(fc.nat(), fc.constantFrom(-1, 0.5, mostBlobBytes, mostBlobBytes + 1, '1', null)),
    first: fc.oneof(fc.nat(0x100_0001), fc.constantFrom(-1, 0.5, '1', null)),
    digests: base64,
    signer: fc.constantFrom('12D3KooWSCZbjkTrX7m4Gzpj75ZCcafiKD7exoaP8FfY3qZNoEMg', 'somebody', '', null, 7),
    signature: base64,
    extra: fc.anything(),
  },
  { requiredKeys: [] },
)

const kinds = ['hello', 'want', 'unwant', 'state', 'have', 'need', 'got', 'wrong', 'meta', 'gone']

/** What the schema says, but for kinds of frames that it does not have. */
function meantBy(value: { readonly t?: unknown }): unknown {
  const later = typeof value.t === 'string' && /^[a-z][a-z-]{0,31}$/.test(value.t) && !kinds.includes(value.t)
  return later ? undefined : parse(frameSchema, value)
}

function outcome(read: () => unknown): string {
  try {
    return JSON.stringify(read())
  } catch (error) {
    return (error as Error).message
  }
}

test('a frame read the quick way is what the schema makes of it, and is refused with the same words', () => {
  fc.assert(
    fc.property(frame, (value) => {
      const text = JSON.stringify(value)
      expect(outcome(() => hearFrame(text))).toBe(outcome(() => meantBy(JSON.parse(text))))
    }),
    { numRuns: 3000, seed: 20 },
  )
}, 60_000)

test('a statement about pieces whose fields are all right is read the quick way, and one of them wrong is named', () => {
  const right = {
    t: 'meta',
    digest,
    size: 1,
    first: 0,
    digests: 'AAAA',
    signer: `12D3${'K'.repeat(48)}`,
    signature: '',
  }
  fc.assert(
    fc.property(frame, fc.constantFrom('size', 'first', 'digests', 'signer', 'signature'), (value, field) => {
      const text = JSON.stringify({ ...right, [field]: value[field] })
      expect(outcome(() => hearFrame(text))).toBe(outcome(() => meantBy(JSON.parse(text))))
    }),
    { numRuns: 1000, seed: 21 },
  )
})

test('frames that are read the quick way are read with every field there is', () => {
  const node = `12D3${'K'.repeat(48)}`
  for (const whole of [
    { t: 'have', digest, pieces: [1, 2] },
    { t: 'got', digest, piece: 4, dropped: true },
    { t: 'meta', digest, size: 1, first: 0, digests: 'AAAA', signer: node, signature: 'AAAA' },
  ]) {
    const schema = frameSchema.options.find(({ shape }) => shape.t.value === whole.t)!
    expect(unsaid(schema, whole)).toEqual([])
    expect(hearFrame(JSON.stringify(whole)) as object).toStrictEqual(whole)
  }
})
