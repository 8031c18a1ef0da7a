import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { bitsPerSecond } from './host.ts'
import { Lab } from './lab.ts'
import { tryRun } from './run.ts'

const obstacle = await Lab.obstacle()

const namespacesOf = (id: string) => readdirSync('/run/netns').filter((name) => name.startsWith(`shoal-${id}-`))

test('a rate is read as tc reads it', () => {
  expect(bitsPerSecond('100mbit')).toBe(100e6)
  expect(bitsPerSecond('1.5gbit')).toBe(1.5e9)
  expect(bitsPerSecond('9600bit')).toBe(9600)
  expect(() => bitsPerSecond('100MB/s')).toThrow('is not a rate')
})

describe.skipIf(obstacle !== undefined)('hosts of a lab', () => {
  let lab: Lab
  beforeAll(async () => {
    lab = await Lab.create({ hosts: ['server', 'client', 'other'], rate: '80mbit' })
    const program = `Bun.serve({ hostname: '0.0.0.0', port: 80, fetch: () => new Response(new Uint8Array(4e6)) })`
    lab.host('server').spawn([process.execPath, '-e', program])
    await reaches('server', 'server')
  })
  afterAll(() => lab?.close())

  /** Asks again until the server listens. */
  async function reaches(from: string, to: string): Promise<void> {
    const retry = ['--retry', '50', '--retry-connrefused', '--retry-delay', '0', '--retry-max-time', '10']
    await lab.host(from).exec(['curl', '-s', '-o', '/dev/null', ...retry, `http://${lab.host(to).address}/`])
  }

  async function bytesPerSecond(from: string): Promise<number> {
    const url = `http://${lab.host('server').address}/`
    return Number(await lab.host(from).exec(['curl', '-s', '-o', '/dev/null', '-w', '%{speed_download}', url]))
  }

  test('one stream gets most of the link, and no more', async () => {
    // On a busy machine it may have to wait for a processor.
    let best = 0
    for (let time = 0; time < 8 && best < 7.5e6; time++) best = Math.max(best, await bytesPerSecond('client'))
    expect(best).toBeGreaterThan(7.5e6)
    expect(best).toBeLessThan(10.5e6)
  })

  test('two hosts share the link of a third', async () => {
    // Over the time that both took together: on a busy machine one may start when the other is nearly done.
    const started = performance.now()
    await Promise.all([bytesPerSecond('client'), bytesPerSecond('other')])
    const seconds = (performance.now() - started) / 1000
    expect((2 * 4e6) / seconds).toBeLessThan(11e6)
  })

  test('counters tell what a host sent and received', async () => {
    const before = await Promise.all(lab.hosts.map((host) => lab.counters(host)))
    await bytesPerSecond('client')
    const after = await Promise.all(lab.hosts.map((host) => lab.counters(host)))
    const [server, client, other] = lab.hosts.map((_, i) => ({
      in: after[i]!.in - before[i]!.in,
      out: after[i]!.out - before[i]!.out,
    }))
    expect(server!.out).toBeGreaterThan(4e6)
    expect(server!.out).toBeLessThan(4.4e6)
    expect(client!.in).toBeGreaterThan(4e6)
    expect(other!.in + other!.out).toBeLessThan(1e5)
  })

  test('an unplugged host is out of reach until it is plugged in again', async () => {
    const attempt = ['curl', '-s', '-o', '/dev/null', '--max-time', '1', `http://${lab.host('server').address}/`]
    await lab.host('server').unplug()
    expect((await lab.host('client').tryExec(attempt)).code).not.toBe(0)
    await lab.host('server').plug()
    await reaches('client', 'server')
  })

  test('multicast reaches the other hosts', async () => {
    const group = '224.0.0.251'
    const listener = `
      const socket = require('node:dgram').createSocket({ type: 'udp4', reuseAddr: true })
      socket.on('message', (text) => { console.log('heard ' + text); process.exit(0) })
      socket.bind(5353, () => { socket.addMembership('${group}'); console.log('listening') })`
    const heard = lab.host('other').spawn([process.execPath, '-e', listener], { log: 'multicast.log' })
    const speaker = `
      const socket = require('node:dgram').createSocket('udp4')
      socket.bind(0, () => setInterval(() => socket.send('hello', 5353, '${group}'), 50))`
    lab.host('client').spawn([process.execPath, '-e', speaker], { log: 'multicast.log' })
    expect(await Promise.race([heard.exited, Bun.sleep(10_000)])).toBe(0)
    expect(heard.logged()).toContain('heard hello')
  })

  test('stopping a process ends its children too', async () => {
    const host = lab.host('other')
    const shell = host.spawn(['sh', '-c', 'sleep 1000 & echo started; wait'], { log: 'shell.log' })
    while (!shell.logged().includes('started')) await Bun.sleep(10)
    expect(await sleepers()).toBe(1)
    await shell.stop()
    expect(shell.running).toBe(false)
    // A killed process is gone a moment after the signal.
    for (let attempt = 0; attempt < 100 && (await sleepers()) > 0; attempt++) await Bun.sleep(10)
    expect(await sleepers()).toBe(0)

    async function sleepers(): Promise<number> {
      const pids = (await tryRun(['ip', 'netns', 'pids', host.netns])).stdout.split('\n').filter(Boolean)
      const commands = await Promise.all(pids.map((pid) => tryRun(['cat', `/proc/${pid}/comm`])))
      return commands.filter((command) => command.stdout.trim() === 'sleep').length
    }
  })
})

describe.skipIf(obstacle !== undefined)('a lab that ends', () => {
  const module = join(import.meta.dir, 'lab.ts')
  const program = `
    const { Lab } = await import(${JSON.stringify(module)})
    const lab = await Lab.create({ hosts: 2 })
    lab.hosts[0].spawn(['sleep', '1000'])
    console.log(lab.id)
    `

  async function start(more: string): Promise<{ child: Bun.Subprocess; id: string }> {
    const child = Bun.spawn([process.execPath, '-e', program + more], { stdout: 'pipe', stderr: 'ignore' })
    let id = ''
    for await (const chunk of child.stdout) {
      id += new TextDecoder().decode(chunk)
      if (id.includes('\n')) break
    }
    return { child, id: id.trim() }
  }

  test('leaves nothing when it is closed', async () => {
    const lab = await Lab.create({ hosts: 2 })
    const sleeper = lab.hosts[0]!.spawn(['sleep', '1000'])
    expect(namespacesOf(lab.id)).toHaveLength(3)
    await lab.close()
    expect(namespacesOf(lab.id)).toEqual([])
    expect(existsSync(lab.dir)).toBe(false)
    expect(sleeper.running).toBe(false)
  })

  test.each(['SIGINT', 'SIGTERM'] as const)('leaves nothing after %s', async (signal) => {
    const { child, id } = await start('await Bun.sleep(60_000)')
    expect(namespacesOf(id)).toHaveLength(3)
    child.kill(signal)
    await child.exited
    expect(namespacesOf(id)).toEqual([])
  })

  test('leaves nothing after an exception', async () => {
    const { child, id } = await start(`throw new Error('on purpose')`)
    expect(await child.exited).toBe(1)
    expect(namespacesOf(id)).toEqual([])
  })

  test('that was killed is cleaned up by the next one', async () => {
    const { child, id } = await start('await Bun.sleep(60_000)')
    child.kill('SIGKILL')
    await child.exited
    expect(namespacesOf(id)).toHaveLength(3)
    const next = await Lab.create({ hosts: 1 })
    await next.close()
    expect(namespacesOf(id)).toEqual([])
  })
})
