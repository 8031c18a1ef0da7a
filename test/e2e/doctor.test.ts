/** `shoal doctor` on hosts of a real cluster: in order, and with one thing after the other gone wrong. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { chmodSync } from 'node:fs'
import { join } from 'node:path'
import type { Finding } from '../../src/doctor/finding.ts'
import { Cluster, splitModes } from '../lab/cluster.ts'
import { Lab } from '../lab/lab.ts'
import { builtBinary } from '../lab/node.ts'
import { until } from '../lab/until.ts'

const obstacle = await Lab.obstacle()
if (obstacle) console.log(`skipped: doctor on hosts of a cluster: ${obstacle}`)

describe.skipIf(obstacle !== undefined)('doctor in a cluster with a key', () => {
  // The lab's first host is the registry. Nobody there reaches Docker Hub.
  const hub = ['--upstream', 'docker.io=http://10.77.7.1:5000']
  let cluster: Cluster
  let key = ''
  beforeAll(async () => {
    cluster = await Cluster.create({
      members: splitModes(1, 1, 2),
      discovery: 'join',
      size: 1e6,
      admission: 'keyed',
      flags: hub,
    })
    key = join(cluster.lab.dir, 'cluster.key')
    chmodSync(key, 0o600)
    await cluster.start()
  }, 120_000)
  afterAll(() => cluster?.close())

  /** As it would be asked for the node of that host, and what it found, best left out. */
  async function doctor(name: string, more: readonly string[] = [], env: Record<string, string> = {}) {
    const command = [builtBinary, 'doctor', '--json', '--cluster-key-file', key, ...hub, ...more]
    const { code, stdout, stderr } = await cluster.lab.host(name).tryExec(command, env)
    if (!stdout.startsWith('{')) throw new Error(`doctor printed ${stdout} and ${stderr}`)
    const { findings } = JSON.parse(stdout) as { findings: Finding[] }
    // Engines and files are the machine's, which is not this test's.
    const own = findings.filter(({ check }) => !['engines', 'files', 'disk', 'kernel'].includes(check))
    return { code, own, wrong: own.filter(({ level }) => level === 'warning' || level === 'problem') }
  }

  test('finds nothing wrong with a node in order, and exits 0', async () => {
    for (const name of ['sched1', 'peer1']) {
      const { code, own, wrong } = await doctor(name)
      expect({ name, code, wrong }).toEqual({ name, code: 0, wrong: [] })
      const checks = new Set(own.flatMap(({ level, check }) => (level === 'good' ? [check] : [])))
      expect([...checks].sort()).toEqual(['clock', 'cluster', 'members', 'node', 'ports', 'settings', 'sources'])
    }
  })

  test('tells a host whose clock is off from the others, and by how much', async () => {
    const library = ['x86_64', 'aarch64'].map((machine) => `/usr/lib/${machine}-linux-gnu/faketime/libfaketimeMT.so.1`)
    const { wrong } = await doctor('peer1', [], {
      LD_PRELOAD: library.join(' '),
      FAKETIME: '+300s',
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
    })
    expect(wrong).toMatchObject([{ level: 'problem', check: 'clock' }])
    expect(wrong[0]?.what).toMatch(/^this clock is 5 minutes ahead: so say /)
  })

  test('names a key that others may read, with the command that mends it', async () => {
    chmodSync(key, 0o644)
    const { wrong } = await doctor('peer1')
    const [{ remedy = '' } = {}] = wrong
    expect(wrong).toMatchObject([{ level: 'warning', check: 'cluster' }])
    expect(remedy).toStartWith('chmod ')
    await cluster.lab.host('peer1').exec(['sh', '-c', remedy])
    expect((await doctor('peer1')).wrong).toEqual([])
  })

  test('on a host without a node looks for its ports and those of its --join, and says who has a port', async () => {
    const node = cluster.node('peer2')
    await node.process.stop()
    const host = cluster.lab.host('peer2')
    const seeds = ['--join', cluster.lab.host('sched1').address]
    const before = await doctor('peer2', seeds)
    expect({ code: before.code, wrong: before.wrong }).toEqual({ code: 0, wrong: [] })
    expect(before.own.find(({ check }) => check === 'members')?.what).toBe(
      `the nodes of --join answer: ${cluster.lab.host('sched1').address}:4882`,
    )
    const squatter = host.spawn([
      process.execPath,
      '-e',
      "Bun.listen({ hostname: '0.0.0.0', port: 4881, socket: { data() {} } })",
    ])
    let wrong: readonly Finding[] = []
    await until('the port is taken', 20, async () => {
      wrong = (await doctor('peer2', seeds)).wrong
      return wrong.length > 0
    })
    await squatter.kill()
    expect(wrong).toMatchObject([{ level: 'problem', check: 'ports' }])
    expect(wrong[0]?.what).toMatch(/^0\.0\.0\.0:4881 \(--peer-addr\) is taken by \S+ \(pid \d+\)$/)
  })

  test('tells what can be reached no more: a member that was killed, then the registry', async () => {
    await cluster.node('seed1').process.kill()
    const { address } = cluster.lab.host('seed1')
    const { wrong } = await doctor('peer1')
    expect(wrong).toMatchObject([{ level: 'warning', check: 'members' }])
    expect(wrong[0]?.what).toContain(`http://${address}:4881 (nothing listens there)`)
    await cluster.registry.kill()
    const sources = (found: { wrong: readonly Finding[] }) => found.wrong.filter(({ check }) => check === 'sources')
    expect(sources(await doctor('peer1'))).toMatchObject([{ level: 'warning' }])
  })
})
