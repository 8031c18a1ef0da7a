/**
 * What an image is read through when it is mounted, against the same tree extracted onto the disk: all of its files, and
 * its names alone. The kernel's caches are dropped before each, so both are read from the disk.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { LazyHost } from '../../test/lab/lazy-host.ts'
import { until } from '../../test/lab/until.ts'
import { image, type LazyStage, withLazyStage } from './lazy-stage.ts'
import type { Figure, Run, Scenario } from './scenario.ts'
import { median } from './statistics.ts'

/** Of each, in turn. */
const times = 3
const mounted = '/run/image'

export const lazyRead: Scenario = {
  name: 'lazy-read',
  title: 'all files of an image, and their names, read through a mount from an unpacked layer that is on the disk',
  against: 'the same tree extracted onto the same disk',
  shape: { hosts: 1, rate: undefined, size: image.size, layers: image.layers },
  quick: { size: 40e6 },
  run: (run) =>
    withLazyStage(run, 1, async (stage) => {
      const lazy = await LazyHost.start(stage.hosts[0]!)
      try {
        return await compare(run, stage, lazy)
      } catch (error) {
        throw new Error(`${(error as Error).message}; its mounter said: ${lazy.logged()}`)
      }
    }),
}

async function compare(run: Run, stage: LazyStage, lazy: LazyHost): Promise<Figure[]> {
  const extracted = join(lazy.host.dir, 'extracted')
  await stage.extract(extracted)
  await lazy.exec(['mkdir', mounted])
  // One file is left out, so that what is read is not all there is and the layers are not complete.
  const names = (await lazy.shell(`cd ${extracted} && find . -type f -size +0 | sort`)).trim().split('\n')
  const [left = '', ...read] = names
  const list = join(lazy.host.dir, 'files')
  writeFileSync(list, `${read.join('\n')}\n`)
  const files = (dir: string) => `cd ${dir} && xargs -d '\\n' cat < ${list} > /dev/null`
  const walk = (dir: string) => `cd ${dir} && find . -printf '%s %m %U %T@ %p\\n' > /dev/null`
  const against = async (line: (dir: string) => string): Promise<number> => {
    const seconds: Record<string, number[]> = { [mounted]: [], [extracted]: [] }
    for (let i = 0; i < times; i++) {
      for (const dir of [extracted, mounted]) {
        await lazy.shell('sync; echo 3 > /proc/sys/vm/drop_caches')
        const begun = performance.now()
        await lazy.shell(line(dir))
        seconds[dir]!.push((performance.now() - begun) / 1000)
      }
    }
    const [disk, mount] = [median(seconds[extracted]!), median(seconds[mounted]!)]
    run.say(`extracted ${disk.toFixed(2)} s, mounted ${mount.toFixed(2)} s`)
    return disk / mount
  }
  const figures: Figure[] = []
  await lazy.mount(stage.name, mounted, '--no-prefetch')
  await lazy.shell(files(mounted))
  figures.push({
    name: 'all files, from layers in part',
    value: await against(files),
    unit: 'times the throughput of the disk',
    reach: { atLeast: 0.7 },
  })
  figures.push({
    name: 'all names and attributes',
    value: await against(walk),
    unit: 'times the speed of the disk',
    reach: { atLeast: 1 },
  })
  await lazy.umount(mounted)
  await lazy.mount(stage.name, mounted)
  await until('all of it is here', 300, async () =>
    (await lazy.mounted(mounted)).layers.every(({ complete }) => complete),
  )
  await lazy.shell(`cd ${mounted} && cat '${left}' > /dev/null`)
  figures.push({
    name: 'all files, from complete layers',
    value: await against(files),
    unit: 'times the throughput of the disk',
    reach: { atLeast: 0.9 },
  })
  return figures
}
