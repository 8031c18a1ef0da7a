/** A store whose disk is full. */
import { expect, setDefaultTimeout, test } from 'bun:test'
import { inSmallDisk, smallDisks } from '../../test/fakes/small-disk.ts'

// It takes its time on a busy machine.
setDefaultTimeout(60_000)

test.skipIf(!smallDisks)('on a full disk old blobs make room, new ones fail cleanly, and the store opens again', () =>
  expect(inSmallDisk('full-disk.ts', 30_000)).toEqual({
    evicted: true,
    failures: ['no-space'],
    whole: true,
    wrong: [],
  }),
)
