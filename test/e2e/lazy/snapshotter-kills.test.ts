/** The snapshotter is killed over and over in the middle of its work: what it has answered is so, and nothing is left over. */
import { describe, expect, test } from 'bun:test'
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { seededRandom } from '../../../src/clock.ts'
import { scratchRoot } from '../../lab/lab.ts'
import { LabProcess } from '../../lab/process.ts'
import { SnapshotterClient } from '../../lab/snapshots-client.ts'
import { until } from '../../lab/until.ts'

const obstacle = process.getuid?.() === 0 ? undefined : 'only root may make snapshots'
if (obstacle) console.log(`skipped: kills of the snapshotter: ${obstacle}`)

const kills = Number(process.env.SNAPSHOTTER_KILLS ?? 2)
const seed = Number(process.env.SNAPSHOTTER_SEED ?? 1)

describe.skipIf(obstacle !== undefined)('a snapshotter that is killed', () => {
  test(
    'has all that it answered, and no folder that is nobody’s',
    async () => {
      const dir = mkdtempSync(join(scratchRoot, 'kills-'))
      const random = seededRandom(seed)
      const socket = join(dir, 's.sock')
      const main = join(import.meta.dir, '../../../src/main.ts')
      const nowhere = join(dir, 'nobody')
      const flags = ['--socket', socket, '--data-dir', dir, '--mounter', nowhere, '--containerd', nowhere]
      const start = () =>
        new LabProcess([process.execPath, main, 'snapshotter', ...flags], { log: join(dir, 'snapshotter.log') })
      let running = start()
      let client: SnapshotterClient | undefined
      /** What was answered: by name, on what it stands. */
      const there = new Map<string, string>()
      /** Asked, and not answered: may be either. */
      const unsure = new Set<string>()
      let number = 0
      /** One after the other, until no answer comes. */
      const work = async (): Promise<void> => {
        for (;;) {
          const names = [...there.keys()].filter((name) => !unsure.has(name))
          const base = random() < 0.5 ? '' : (names.filter((name) => name.startsWith('c'))[0] ?? '')
          const key = `a${++number}`
          const name = `c${number}`
          // Not what the new one is to stand on: that is refused, and would end this.
          const leaf = names.find((each) => each !== base && ![...there.values()].includes(each))
          unsure.add(key).add(name)
          await client!.prepare(key, base)
          there.set(key, base)
          unsure.delete(key)
          if (random() < 0.6) {
            unsure.add(key)
            await client!.commit(name, key)
            there.delete(key)
            there.set(name, base)
            unsure.delete(key)
          }
          unsure.delete(name)
          if (leaf === undefined || random() < 0.4) continue
          unsure.add(leaf)
          await client!.remove(leaf)
          there.delete(leaf)
          unsure.delete(leaf)
        }
      }
      try {
        for (let round = 0; round <= kills; round++) {
          await until('the snapshotter answers', 20, () => existsSync(socket))
          client = new SnapshotterClient(socket, join(dir, `mounts-${round}`))
          let infos = await client.list().catch(() => undefined)
          await until('it lists what there is', 20, async () => {
            infos ??= await client!.list().catch(() => undefined)
            return infos !== undefined
          })
          const found = new Map(infos!.map(({ name, parent }) => [name, parent]))
          for (const [name, parent] of there) {
            if (unsure.has(name)) continue
            expect([name, found.get(name)], `seed ${seed}, round ${round}`).toEqual([name, parent])
          }
          for (const name of found.keys()) expect(there.has(name) || unsure.has(name), name).toBe(true)
          const folders = readdirSync(join(dir, 'snapshots')).filter((name) => !name.startsWith('gone-'))
          expect(folders).toHaveLength(found.size)
          for (const [name] of found) expect((await client.usage(name)).inodes).toBeGreaterThanOrEqual(1)
          // What it is now is known.
          there.clear()
          for (const [name, parent] of found) there.set(name, parent)
          unsure.clear()
          if (round === kills) break
          const begun = number
          const over = work().catch(() => {})
          await Bun.sleep(200 + random() * 400)
          await until('it has done some of its work', 20, () => number > begun + 5, 1)
          await running.kill()
          await over
          client.close()
          rmSync(socket, { force: true })
          running = start()
        }
        expect(number).toBeGreaterThan(kills * 5)
      } finally {
        client?.close()
        await running.kill()
        rmSync(dir, { recursive: true, force: true })
      }
    },
    20_000 + kills * 10_000,
  )
})
