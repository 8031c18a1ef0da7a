/** `scripts/soak replication`: pushes to one cluster while the other, to which it copies, is away. */
import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { scratchRoot } from '../../test/lab/lab.ts'
import { replicatedOverOutage } from '../../test/lab/replicated.ts'

/** @throws when anything differs at the end */
export async function replicationSoak(pushes: number, outageSeconds: number): Promise<void> {
  const dir = mkdtempSync(join(scratchRoot, 'shoal-replication-'))
  const begun = performance.now()
  try {
    const addresses = ['127.0.91.11', '127.0.91.12'] as const
    const report = await replicatedOverOutage({ dir, addresses, pushes, outageSeconds, killSource: true })
    const { tags, digests, waited, caughtUpMs, failedTries } = report
    console.log(
      `${pushes} pushes, the target away for ${outageSeconds} s of them or more, the source killed once: ${tags} tags and ` +
        `${digests} digests are equal on both sides. ${waited} waited when the target was back, which ` +
        `${failedTries} tries had found away; all were there ${(caughtUpMs / 1000).toFixed(1)} s later, the last ` +
        `quarter of the pushes included; ${Math.round((performance.now() - begun) / 1000)} s in all`,
    )
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}
