import { expect, test } from 'bun:test'
import type { Digest } from '../oci/digest.ts'
import type { BlobRow } from './catalog.ts'
import { judge } from './recovery.ts'

const pieceLength = 256 * 1024
const row = (more: Partial<BlobRow>): BlobRow => ({
  digest: 'sha256:x' as Digest,
  size: 3 * pieceLength - 5,
  kind: 'blob',
  mediaType: null,
  state: 'partial',
  bitmap: new Uint8Array([0b010]),
  mtime: null,
  usedAt: 0,
  addedAt: 0,
  ...more,
})
const whole = row({ state: 'complete', bitmap: null, mtime: 42 })

test.each([
  ['a complete file of its size and time is believed', whole, { size: whole.size, mtime: 42 }, false, 'keep'],
  ['a complete file of another time is read again', whole, { size: whole.size, mtime: 43 }, true, 'check whole'],
  ['a complete file that is short is forgotten', whole, { size: whole.size - 1, mtime: 42 }, true, 'forget'],
  ['a complete file that is missing is forgotten', whole, undefined, true, 'forget'],
  [
    'an incomplete file that reaches its last piece is believed',
    row({}),
    { size: 2 * pieceLength, mtime: 1 },
    true,
    'keep',
  ],
  [
    'an incomplete file is checked when writes may be lost',
    row({}),
    { size: 2 * pieceLength, mtime: 1 },
    false,
    'check pieces',
  ],
  [
    'an incomplete file that ends too early is forgotten',
    row({}),
    { size: 2 * pieceLength - 1, mtime: 1 },
    true,
    'forget',
  ],
  [
    'the shorter last piece is enough',
    row({ bitmap: new Uint8Array([0b100]) }),
    { size: whole.size, mtime: 1 },
    true,
    'keep',
  ],
  ['an incomplete file that is missing is forgotten', row({}), undefined, true, 'forget'],
  [
    'an incomplete blob with all its pieces is read whole',
    row({ bitmap: new Uint8Array([0b111]) }),
    { size: whole.size, mtime: 1 },
    true,
    'check whole',
  ],
  ['a blob without pieces is forgotten', row({ bitmap: new Uint8Array(1) }), undefined, true, 'forget'],
] as const)('%s', (_, recorded, file, trusted, verdict) => {
  expect(judge(recorded, file, trusted).do).toBe(verdict)
})

test('forgetting what had never arrived is no loss to report', () => {
  expect(judge(row({ bitmap: null }), undefined, true)).toMatchObject({ do: 'forget', lost: false })
  expect(judge(row({}), undefined, true)).toMatchObject({ do: 'forget', lost: true })
})
