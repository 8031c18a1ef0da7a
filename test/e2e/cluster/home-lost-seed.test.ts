/** A lost seed loses nothing, where an object store keeps what was pushed to it. */
import { describe, expect, test } from 'bun:test'
import { Lab } from '../../lab/lab.ts'
import { lostSeed } from '../../lab/lost-seed.ts'
import { LabS3 } from '../../lab/s3.ts'

const obstacle = (await Lab.obstacle()) ?? (await LabS3.missing())
if (obstacle) console.log(`skipped: a seed that is lost: ${obstacle}`)

describe.skipIf(obstacle !== undefined)('an image that was pushed to a seed', () => {
  // `scripts/soak home` tries it with `back`, too.
  test('comes to other hosts from that seed, and is there when its disk is not any more', async () => {
    const found = await lostSeed({ bytes: 24e6, layers: 3, hosts: 2, write: 'through' })
    expect(found.pulls.map(({ digest }) => digest)).toEqual([found.digest, found.digest])
    // The seed has it: the object store is not asked for its bytes.
    expect(found.readForPulls).toBeLessThan(1e5)
    expect(found.after.digest).toBe(found.digest)
    expect(found.after.bytes).toBe(found.pulls[0]!.bytes)
    // Read once, beside a few small documents.
    expect(found.readAfter).toBeGreaterThanOrEqual(24e6)
    expect(found.readAfter).toBeLessThan(25e6)
    expect(found.tagsAfter).toEqual(['v1'])
  }, 170_000)
})
