/** `scripts/soak home`: an image goes to a seed and its object store, to hosts, and is there when all disks are gone. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Lab } from '../../test/lab/lab.ts'
import { type LostSeed, lostSeed } from '../../test/lab/lost-seed.ts'
import { LabS3 } from '../../test/lab/s3.ts'

export interface HomeSoakInit {
  /** Of the image. */
  readonly bytes: number
  readonly hosts: number
  readonly client: 'skopeo' | 'docker'
  /** Folder for `home.md` and `home.json`. */
  readonly output: string
}

/** @throws when anything of the image was lost */
export async function homeSoak({ bytes, hosts, client, output }: HomeSoakInit): Promise<void> {
  const obstacle = (await Lab.obstacle()) ?? (await LabS3.missing())
  if (obstacle) throw new Error(`this cannot be tried here: ${obstacle}`)
  mkdirSync(output, { recursive: true })
  const found: Record<string, LostSeed> = {}
  for (const write of ['through', 'back']) {
    console.log(`An image of ${bytes / 1e6} MB, ${hosts} hosts, pushed by ${client}, --home-write ${write} ...`)
    found[write] = await lostSeed({ bytes, layers: 5, hosts, write, client })
    writeFileSync(join(output, 'home.json'), JSON.stringify(found, undefined, 2))
    writeFileSync(join(output, 'home.md'), markdown(found))
  }
  console.log(`\n${markdown(found)}\nreport in ${output}`)
  const lost = Object.values(found).filter((one) => one.after.digest !== one.digest || one.tagsAfter.length !== 1)
  if (lost.length > 0) throw new Error('something of the image was lost')
}

function markdown(found: Readonly<Record<string, LostSeed>>): string {
  const MB = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`
  const s = (seconds: number) => `${seconds.toFixed(1)} s`
  return [
    '| `--home-write` | push | then owed for | hosts, at once | read of the store for them | all disks gone: a new host | read of the store |',
    '| --- | --- | --- | --- | --- | --- | --- |',
    ...Object.entries(found).map(
      ([write, { pushSeconds, owedSeconds, pulls, readForPulls, after, readAfter, size }]) => {
        const slowest = Math.max(...pulls.map(({ seconds }) => seconds))
        return `| ${write} | ${MB(size)} in ${s(pushSeconds)} | ${s(owedSeconds)} | ${pulls.length} in ${s(slowest)} | ${MB(readForPulls)} | ${s(after.seconds)}, the same digest | ${MB(readAfter)} |`
      },
    ),
    '',
  ].join('\n')
}
