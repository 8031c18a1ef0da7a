/** A node that runs as nobody in particular: no root, no capability, a file system that is read-only but for its data. */
import { afterEach, describe, expect, test } from 'bun:test'
import { chownSync, copyFileSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { FakeRegistry, noise } from '../fakes/registry.ts'
import { scratchRoot } from '../lab/lab.ts'
import { builtBinary } from '../lab/node.ts'
import { LabProcess } from '../lab/process.ts'
import { pull } from '../lab/pull.ts'
import { until } from '../lab/until.ts'

const nobody = 65534
const obstacle = process.getuid?.() === 0 && Bun.which('setpriv') ? undefined : 'not root, or no setpriv'
if (obstacle) console.log(`skipped: a node without privileges: ${obstacle}`)

const undo: (() => unknown)[] = []
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step()
})

/** What the kernel says of every thread of a process. */
function standing(pid: number): { uid: string; capabilities: string }[] {
  return readdirSync(`/proc/${pid}/task`).map((task) => {
    const status = readFileSync(`/proc/${pid}/task/${task}/status`, 'utf8')
    const line = (name: string) => new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(status)?.[1]?.replace(/\s+/g, ' ') ?? ''
    return { uid: line('Uid'), capabilities: [line('CapPrm'), line('CapEff'), line('CapBnd')].join(' ') }
  })
}

/** Everything below a directory that others than its owner may do something with, or that is somebody else's. */
function open(dir: string): string[] {
  return readdirSync(dir, { withFileTypes: true }).flatMap((entry) => {
    const path = join(dir, entry.name)
    const { mode, uid } = lstatSync(path)
    const wrong = (mode & 0o077) !== 0 || uid !== nobody ? [`${path} ${(mode & 0o777).toString(8)} ${uid}`] : []
    return [...wrong, ...(entry.isDirectory() ? open(path) : [])]
  })
}

describe.skipIf(obstacle !== undefined)('as a user without any privilege', () => {
  test('a node starts, pulls, keeps its files to itself, and serves after a restart what it had', async () => {
    const dir = mkdtempSync(join(scratchRoot, 'shoal-nobody-'))
    undo.push(() => rmSync(dir, { recursive: true, force: true }))
    // Neither the build nor the scratch folder need be open to others.
    const binary = join(dir, 'shoal')
    copyFileSync(builtBinary, binary)
    const home = join(dir, 'home')
    mkdirSync(home)
    for (const path of [dir, binary, home]) chownSync(path, nobody, nobody)
    const registry = await FakeRegistry.start()
    undo.push(() => registry.stop())
    registry.image('team/app', 'v1', [noise(3_000_000, 1), noise(200_000, 2)])

    const address = `127.77.${process.pid % 250}.1`
    const at = (port: number) => `${address}:${port}`
    const drop = ['--reuid', String(nobody), '--regid', String(nobody), '--clear-groups', '--no-new-privs']
    const caps = ['--inh-caps=-all', '--bounding-set=-all']
    const ports = ['registry', 'peer', 'p2p', 'admin'].flatMap((name, i) => [`--${name}-addr`, at(14880 + i)])
    const flags = ['--no-mdns', '--advertise', address, '--upstream', `docker.io=http://${registry.host}`]
    const command = ['setpriv', ...drop, ...caps, '--', binary, 'up', ...ports, ...flags, '--log-format', 'json']
    const start = async () => {
      // Without --data-dir: it finds a place of its own.
      const env = { HOME: home, XDG_DATA_HOME: '', SHOAL_DATA_DIR: '' }
      const node = new LabProcess(command, { log: join(dir, 'node.log'), cwd: '/', env })
      undo.push(() => node.stop(3000))
      await until('it is ready', 30, async () => {
        if (!node.running) throw new Error(`it ended: ${node.logged().slice(-1000)}`)
        return (await fetch(`http://${at(14883)}/readyz`).catch(() => undefined))?.ok === true
      })
      return node
    }

    const node = await start()
    expect((await pull(`http://${at(14880)}`, 'team/app', 'v1')).blobs).toBe(3)
    const threads = standing(node.pid)
    expect(threads.length).toBeGreaterThan(1)
    const none = '0000000000000000'
    expect(new Set(threads.map(({ uid }) => uid))).toEqual(new Set([`${nobody} ${nobody} ${nobody} ${nobody}`]))
    expect(new Set(threads.map(({ capabilities }) => capabilities))).toEqual(new Set([`${none} ${none} ${none}`]))
    const data = join(home, '.local/share/shoal')
    expect(readdirSync(data)).toContain('node.key')
    expect(open(join(home, '.local'))).toEqual([])

    expect(await node.stop()).toBe(0)
    await registry.stop()
    await start()
    expect((await pull(`http://${at(14880)}`, 'team/app', 'v1')).bytes).toBeGreaterThan(3_200_000)
    expect(node.logged()).not.toContain('"level":"error"')
  }, 120_000)
})
