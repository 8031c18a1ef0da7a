import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Lab } from '../lab.ts'
import { tryRun } from '../run.ts'
import { until } from '../until.ts'
import { enclosed } from './enclosure.ts'

const obstacle = await Lab.obstacle()
if (obstacle) console.log(`skipped: engines that end: ${obstacle}`)

describe.skipIf(obstacle !== undefined)('an engine that ends', () => {
  let lab: Lab
  beforeAll(async () => {
    lab = await Lab.create({ hosts: ['host'] })
  })
  afterAll(() => lab?.close())

  const running = async () =>
    (await tryRun(['ip', 'netns', 'pids', lab.host('host').netns])).stdout.split('\n').filter(Boolean)

  test.each(['SIGTERM', 'SIGKILL'] as const)('by %s leaves no process and no mount', async (signal) => {
    const host = lab.host('host')
    const mountPoint = join(host.dir, `mount-${signal}`)
    mkdirSync(mountPoint)
    // As a shim does, the sleeper leaves the process group of its parent and ignores what that one obeys.
    const sleeper = `setsid sh -c 'trap "" TERM; echo sleeping; while :; do sleep 1; done' &`
    const script = `mount -t tmpfs tmpfs "$1" && touch "$1/file" && { ${sleeper} wait; }`
    const engine = host.spawn(enclosed(['sh', '-c', script, 'sh', mountPoint]), { log: `${signal}.log` })
    await until('the sleeper sleeps', 10, () => engine.logged().includes('sleeping'))
    expect(readFileSync('/proc/mounts', 'utf8')).not.toContain(mountPoint)
    expect((await running()).length).toBeGreaterThan(1)
    if (signal === 'SIGTERM') await engine.stop(500)
    else await engine.kill()
    await until('nothing runs on the host', 5, async () => (await running()).length === 0)
  })

  test('sees the hosts it was given, control groups, and not the /run of the machine', async () => {
    const hosts = join(lab.host('host').dir, 'hosts')
    writeFileSync(hosts, '10.77.7.99 hub.lab\n')
    const look = 'cat /etc/hosts; test -e /run/netns || echo unseen; ls /sys/fs/cgroup | head -n 1 | wc -l'
    expect(await lab.host('host').exec(enclosed(['sh', '-c', look], hosts))).toBe('10.77.7.99 hub.lab\nunseen\n1\n')
  })
})
