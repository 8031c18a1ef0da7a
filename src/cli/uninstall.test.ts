import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { Command } from 'commander'
import { FakeContext } from '../../test/fakes/context.ts'
import type { Outcome } from '../configure/apply.ts'
import type { MounterFacts } from '../mount/mounter/api.ts'
import { engineHostAt } from './configure.ts'
import { containerdFor } from './install-snapshotter.ts'
import { run } from './program.ts'
import { undoEngines, uninstall } from './uninstall.ts'

let root: string
const closers: (() => unknown)[] = []
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'shoal-uninstall-'))
  put('/var/lib/shoal-mounter/state.json')
})
afterEach(async () => {
  await Promise.all(closers.splice(0).map((close) => close()))
  rmSync(root, { recursive: true, force: true })
})

const data = () => existsSync(join(root, 'var/lib/shoal-mounter/state.json'))

function put(path: string, text = ''): void {
  mkdirSync(dirname(join(root, path)), { recursive: true })
  writeFileSync(join(root, path), text)
}

/** What it prints. The host is a folder, on which there is no systemd. */
async function removed(...args: string[]): Promise<string[]> {
  const context = new FakeContext()
  const program = new Command()
  uninstall(program, context, engineHostAt(root))
  await program.parseAsync(['uninstall', ...args], { from: 'user' })
  return context.printed
}

/** A process that does nothing but end, and answers as a mounter does. */
function mounter(words: readonly string[], facts: Partial<MounterFacts> = {}) {
  const child = Bun.spawn([process.execPath, '-e', 'setInterval(() => {}, 1000)', ...words], {
    stdio: ['ignore', 'ignore', 'ignore'],
  })
  mkdirSync(join(root, 'run/shoal-mounter'), { recursive: true })
  const reads = { slow: 0, failed: 0, waiting: 0 }
  const answer = { version: '1', pid: child.pid, since: 'now', mounts: 0, layers: 0, reads, ...facts }
  const unix = join(root, 'run/shoal-mounter/mounter.sock')
  const server = Bun.serve({ unix, fetch: () => Response.json(answer) })
  closers.push(
    () => child.kill('SIGKILL'),
    () => server.stop(true),
  )
  return child
}

describe('while an image is mounted', () => {
  const lower = 'lowerdir+=/run/shoal-mounter/mounter.d/empty'

  test.each([[[]], [['--keep-data']], [['--dry-run']]])('nothing is removed: uninstall %p', async (args) => {
    put('/usr/local/bin/shoal')
    put('/proc/self/mountinfo', `42 22 0:35 / /srv/app rw - overlay shoal rw,${lower}\n`)
    await expect(removed(...args)).rejects.toThrow('an image is mounted at /srv/app, which')
    await expect(removed(...args)).rejects.toThrow(/: shoal umount \/srv\/app$/)
    expect([data(), existsSync(join(root, 'usr/local/bin/shoal'))]).toEqual([true, true])
  })
})

test('whose snapshots keep it from being removed is asked in the namespace of each client', async () => {
  const asked = 'ctr -n NAMESPACE snapshots --snapshotter shoal ls, where NAMESPACE is k8s.io for Kubernetes, moby for'
  put('/var/lib/shoal-snapshotter/snapshots/7/fs')
  await expect(removed()).rejects.toThrow(asked)
  rmSync(join(root, 'var/lib/shoal-snapshotter'), { recursive: true })
  mounter(['mounter'], { layers: 2 })
  await expect(removed()).rejects.toThrow(asked)
  expect(data()).toBe(true)
})

describe("containerd's configuration is what it was, byte for byte", () => {
  const file = 'etc/containerd/config.toml'
  const before = `version = 3 # ours\n\n[plugins.'io.containerd.cri.v1.images']\n  snapshotter = 'zfs'\n`
  const snapshotter = async () => containerdFor(root).write()
  const mirror = () => run(['configure', 'containerd', '--yes', '--root', root], new FakeContext())

  test.each([
    ['the snapshotter and then the mirror', [snapshotter, mirror]],
    ['the mirror and then the snapshotter', [mirror, snapshotter]],
  ])('after %s', async (_, steps) => {
    put(file, before)
    const context = new FakeContext()
    for (const step of steps) await step()
    await undoEngines(context, true, engineHostAt(root))
    expect(readFileSync(join(root, file), 'utf8')).toContain('config_path')
    await undoEngines(context, false, engineHostAt(root))
    expect(readFileSync(join(root, file), 'utf8')).toBe(before)
    const left = ['etc/containerd/certs.d', 'etc/shoal'].filter((path) => existsSync(join(root, path)))
    expect(left).toEqual([])
  })
})

describe('an engine that does not take its configuration back', () => {
  const said = 'dockerd (pid 7) was told to read /etc/docker/daemon.json and did not take it; its log says why'
  const apply = (state: Outcome['state']) => async () => ({ state, said })

  test.each([
    ['failed', [said]],
    ['told', []],
  ] as const)('is known to whoever undoes that: %s', async (state, failed) => {
    put('/etc/docker/daemon.json', '{}')
    await run(['configure', 'docker', '--yes', '--root', root], new FakeContext())
    const host = { root, apply: apply(state) }
    expect(await undoEngines(new FakeContext(), true, host)).toEqual([])
    expect(await undoEngines(new FakeContext(), false, host)).toEqual([...failed])
    expect(readFileSync(join(root, 'etc/docker/daemon.json'), 'utf8')).toBe('{}')
  })

  test('keeps nothing from being removed, and is told as a failure', async () => {
    put('/usr/local/bin/shoal')
    put('/etc/docker/daemon.json', '{}')
    await run(['configure', 'docker', '--yes', '--root', root], new FakeContext())
    const context = new FakeContext()
    const program = new Command()
    uninstall(program, context, { root, apply: apply('failed') })
    const removing = program.parseAsync(['uninstall'], { from: 'user' })
    await expect(removing).rejects.toThrow('an engine goes on with the mirror that is gone, until it is restarted')
    expect(context.complained).toEqual([`shoal: ${said}`])
    expect(context.printed.at(-1)).toBe('shoal is removed from this host')
    expect(existsSync(join(root, 'usr/local/bin/shoal'))).toBe(false)
  })
})

describe('a mounter that no unit runs', () => {
  test('is ended before its data goes when it is idle', async () => {
    const child = mounter(['mounter'])
    const said = await removed('--dry-run')
    expect(said.join('\n')).toContain(`end the idle mounter, process ${child.pid}\n`)
    expect([child.exitCode, data()]).toEqual([null, true])
    await removed()
    await child.exited
    expect([child.signalCode, data()]).toEqual(['SIGTERM', false])
  })

  test('is left alone, and its data with it, while somebody uses it', async () => {
    const child = mounter(['mounter'], { layers: 2 })
    await expect(removed()).rejects.toThrow(`(process ${child.pid}) serves 2 layers of images: end what uses them`)
    await expect(removed()).rejects.toThrow('have what was unmounted: stopping them frees it')
    expect(await removed('--keep-data')).toEqual(['shoal is not installed here'])
    expect([child.exitCode, data()]).toEqual([null, true])
  })

  test('is left alone, and its data with it, when somebody else has started it', async () => {
    const child = mounter(['mounter', '--idle', '0'])
    await expect(removed()).rejects.toThrow(`(process ${child.pid}), which neither shoal mount nor a unit has started`)
    expect([child.exitCode, data()]).toEqual([null, true])
  })
})
