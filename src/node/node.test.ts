import { afterEach, expect, test } from 'bun:test'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '../../test/lab/free-port.ts'
import { sumOf } from '../../test/lab/node.ts'
import { LabProcess } from '../../test/lab/process.ts'
import { until } from '../../test/lab/until.ts'
import { readsCall } from '../lazy/calls.ts'
import { digestOf } from '../oci/digest.ts'
import { callPath } from '../wire/calls.ts'
import { headers } from '../wire/rules.ts'

const root = mkdtempSync(join(tmpdir(), 'shoal-node-'))
const cleanups: (() => unknown)[] = [() => rmSync(root, { recursive: true, force: true })]
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

/** A node as it is run, of these sources. */
function start(name: string, ...flags: string[]) {
  const ports = { registry: freePort(), peer: freePort(), p2p: freePort(), admin: freePort() }
  const addresses = Object.entries(ports).flatMap(([port, at]) => [`--${port}-addr`, `127.0.0.1:${at}`])
  const dir = join(root, name)
  mkdirSync(dir)
  const up = [process.execPath, join(import.meta.dir, '../main.ts'), 'up', '--data-dir', join(dir, 'data'), '--no-mdns']
  const command = [...up, ...addresses, '--advertise', '127.0.0.1', ...flags]
  const running = new LabProcess(command, { log: join(dir, 'log'), cwd: dir })
  cleanups.push(() => running.kill())
  return { ...ports, running }
}

test('what others ask while a seed stops is answered, or not taken any more; nothing fails', async () => {
  const seed = start('seed')
  const other = start('other', '--join', `127.0.0.1:${seed.p2p}`)
  const members = async (port: number) =>
    sumOf(await (await fetch(`http://127.0.0.1:${port}/metrics`)).text(), 'shoal_members', { mode: 'seed' })
  for (const { admin } of [seed, other]) {
    await until('they know each other', 40, async () => (await members(admin).catch(() => 0)) === 2)
  }
  const said: string[] = []
  const ask = async () => {
    while (seed.running.running) {
      try {
        const answer = await fetch(`http://127.0.0.1:${seed.peer}${callPath(readsCall.name)}`, {
          method: 'POST',
          headers: { [headers.node]: `12D3KooW${'A'.repeat(44)}` },
          body: JSON.stringify({ layer: digestOf(Buffer.from('a layer')) }),
        })
        said.push(`${answer.status} ${await answer.text()}`)
      } catch {
        // It takes nothing any more.
        await Bun.sleep(1)
      }
    }
  }
  const asking = Array.from({ length: 8 }, ask)
  await until('it answers', 10, () => said.length > 100, 10)
  // It says goodbye to the other one, which takes its time over an answer.
  other.running.signal('SIGSTOP')
  await seed.running.stop(20_000)
  await Promise.all(asking)
  expect(said.filter((each) => each !== '200 {"reads":[]}')).toEqual([])
  expect(seed.running.logged()).not.toContain('a request of another node failed')
}, 120_000)
