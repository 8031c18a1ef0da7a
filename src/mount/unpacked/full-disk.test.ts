/** A disk that is full while layers come. */
import { expect, setDefaultTimeout, test } from 'bun:test'
import { inSmallDisk, smallDisks } from '../../../test/fakes/small-disk.ts'

// Each takes its time on a busy machine.
setDefaultTimeout(60_000)

test.skipIf(!smallDisks)(
  'what comes in the background and does not fit is not fetched over and over, and its layer can be let go',
  () => expect(inSmallDisk('full-prefetch.ts', 40_000)).toEqual({ told: true, seldom: true, closed: true }),
)

test.skipIf(!smallDisks)(
  'on a full disk layers that nobody mounts make room, and what does not fit is served from memory, and told',
  () =>
    expect(inSmallDisk('full-unpacked.ts', 30_000)).toEqual({
      right: [true, true, true],
      askedAgain: 0,
      evicted: true,
      told: true,
      kept: true,
      whole: false,
    }),
)

test.skipIf(!smallDisks)(
  'what a layer that goes could not hand over on a full disk counts as here no more, and comes where all was to come',
  () =>
    expect(inSmallDisk('full-hand-over.ts', 50_000)).toEqual({
      before: [true, true],
      after: [false, false],
      right: true,
    }),
)

test.skipIf(!smallDisks)(
  'on a full disk a layer is mounted all the same where others can go for it that nobody mounts',
  () =>
    expect(inSmallDisk('full-open.ts', 50_000)).toEqual({
      indexed: ['open', 2],
      known: ['open', 1],
      whole: ['open', 2],
      refused:
        'the layer unpacks to more than the 0 MiB that there is room for in DIR, with 64 MiB left free; free some space there',
    }),
)
