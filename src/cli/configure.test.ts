import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { configurations, standby } from '../../test/fakes/configurations.ts'
import { FakeContext } from '../../test/fakes/context.ts'
import { withEmptyList } from '../configure/docker.ts'
import { type EngineHost, undoAll } from './configure.ts'
import { run } from './program.ts'

let root: string
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'shoal-configure-'))
})
afterEach(() => rmSync(root, { recursive: true }))

const at = (path: string) => join(root, path)
const daemon = '/etc/docker/daemon.json'
const original = '{\r\n  "debug": true\r\n}'
const put = (path: string, text: string) => {
  mkdirSync(join(at(path), '..'), { recursive: true })
  writeFileSync(at(path), text)
}
const got = (path: string) => readFileSync(at(path), 'utf8')
const tree = () =>
  Object.fromEntries(
    (readdirSync(root, { recursive: true }) as string[]).sort().map((name) => {
      const { mode, mtimeMs } = statSync(at(name))
      return [name, (mode & 0o170000) === 0o40000 ? 'folder' : [got(name), mode, mtimeMs]]
    }),
  )

async function configure(...args: string[]) {
  const context = new FakeContext()
  if (args[0] === 'answer') context.answer = args.splice(0, 2)[1]
  const code = await run(['configure', ...args, '--root', root], context)
  return { code, out: context.printed.join('\n'), err: context.complained.join('\n') }
}

test('what changes is shown, and written once the answer is yes', async () => {
  put(daemon, original)
  const { code, out } = await configure('answer', 'y', 'docker')
  expect(code).toBe(0)
  expect(out).toContain('+  "registry-mirrors": ["http://127.0.0.1:4880"]')
  expect(out).toContain('Write this? [y/N]')
  expect(JSON.parse(got(daemon))).toEqual({ debug: true, 'registry-mirrors': ['http://127.0.0.1:4880'] })
})

describe('nothing is touched', () => {
  const cases: [string, string[], 0 | 1 | 2, string][] = [
    ['when the answer is no', ['answer', 'n', 'docker'], 1, 'nothing was changed'],
    ['when there is nobody to ask', ['docker'], 1, 'say --yes'],
    ['by --dry-run', ['docker', '--dry-run', '--yes'], 0, ''],
    ['without an engine', [], 2, 'name the engine'],
    ['by an engine that is none', ['rkt'], 2, 'docker, containerd, podman, cri-o'],
    ['by a stand-by that is this host', ['docker', '--standby', '127.0.0.1:4880'], 2, 'this host'],
    ['when a broken file is refused', ['containerd', '--yes'], 1, 'mend it'],
  ]
  test.each(cases)('%s', async (_, args, code, says) => {
    put(daemon, original)
    put('/etc/containerd/config.toml', 'version = \n')
    const before = tree()
    const said = await configure(...args)
    expect(said.code).toBe(code)
    expect(said.err).toContain(says)
    expect(tree()).toEqual(before)
  })
})

describe('--undo', () => {
  test.each([
    ['had none before', original],
    ['was not there before', undefined],
  ])('that is interrupted while dockerd reads the file can be done again, where the file %s', async (_, text) => {
    if (text !== undefined) put(daemon, text)
    const before = tree()
    await configure('docker', '--yes')
    const apply: EngineHost['apply'] = async (_setting, _effect, disk) => {
      const now = disk.read(daemon)
      disk.write([{ path: daemon, before: now, after: withEmptyList(now, daemon) }])
      throw new Error('Ctrl-C')
    }
    await expect(undoAll(new FakeContext(), false, { root, apply })).rejects.toThrow('Ctrl-C')
    expect(JSON.parse(got(daemon))['registry-mirrors']).toEqual([])
    expect(await configure('--undo', '--yes')).toMatchObject({ code: 0, err: '' })
    expect(tree()).toEqual(before)
  })

  test('puts back every byte, mode and time, and leaves no folder behind', async () => {
    put(daemon, original)
    chmodSync(at(daemon), 0o600)
    utimesSync(at(daemon), 1_700_000_000, 1_700_000_000)
    put('/etc/containers/registries.conf', '# mine\n')
    const before = tree()
    for (const engine of ['docker', 'containerd', 'podman']) {
      expect(await configure(engine, '--yes', '--standby', '10.0.0.8:4880')).toMatchObject({ code: 0, err: '' })
    }
    expect(got('/etc/containerd/certs.d/_default/hosts.toml')).toContain('http://10.0.0.8:4880')
    expect(statSync(at(daemon)).mode & 0o777).toBe(0o600)
    // Without an engine: of all that are configured.
    expect(await configure('--undo', '--yes')).toMatchObject({ code: 0, err: '' })
    expect(tree()).toEqual(before)
    expect((await configure('--undo', '--yes')).out).toBe('no engine is configured')
  })

  test('goes back to before the first of several runs', async () => {
    put(daemon, original)
    const before = tree()
    await configure('docker', '--yes', '--standby', '10.0.0.8:4880')
    await configure('docker', '--yes', '--registry-addr', '127.0.0.1:5880')
    expect(JSON.parse(got(daemon))['registry-mirrors']).toEqual(['http://127.0.0.1:5880'])
    expect((await configure('docker', '--yes', '--registry-addr', '127.0.0.1:5880')).out).toContain('nothing to change')
    await configure('docker', '--undo', '--yes')
    expect(Object.keys(tree())).toEqual(Object.keys(before))
    expect(got(daemon)).toBe(original)
  })

  test('keeps what somebody wrote between two runs, and after them', async () => {
    put(daemon, '{"debug": true}')
    await configure('docker', '--yes')
    put(daemon, got(daemon).replace('true', 'false'))
    await configure('docker', '--yes', '--standby', '10.0.0.8:4880')
    put(daemon, got(daemon).replace('{', '{"live-restore": true, '))
    const { out } = await configure('docker', '--undo', '--yes')
    expect(out).toContain('was changed since')
    expect(got(daemon)).toBe('{"live-restore": true, "debug": false}')
    expect(existsSync(at('/etc/shoal'))).toBe(false)
  })

  describe('of files of one name, made by a first run and edited since', () => {
    const hub = '/etc/containerd/certs.d/docker.io/hosts.toml'
    const rest = '/etc/containerd/certs.d/_default/hosts.toml'
    const edit = (path: string, line: string) => put(path, `${line}\n${got(path)}`)
    const again = ['--yes', '--registry-addr', '127.0.0.1:5880']

    test('keeps what each has now, when both were', async () => {
      expect(await configure('containerd', '--yes')).toMatchObject({ code: 0, err: '' })
      edit(hub, '# the hub')
      edit(rest, '# the rest')
      expect(await configure('containerd', ...again)).toMatchObject({ code: 0, err: '' })
      expect(await configure('containerd', '--undo', '--yes')).toMatchObject({ code: 0, err: '' })
      expect(got(hub)).toBe('# the hub\nserver = "https://registry-1.docker.io"\n\n')
      expect(got(rest)).toBe('# the rest\n')
    })

    test('keeps each apart from that of a registry that comes later', async () => {
      const quay = '/etc/containerd/certs.d/quay.io/hosts.toml'
      const own = '# ours\n[host."https://quay.corp"]\n  ca = "/etc/quay.pem"\n'
      put(quay, own)
      await configure('containerd', '--yes')
      edit(hub, '# the hub')
      expect(await configure('containerd', ...again)).toMatchObject({ code: 0, err: '' })
      expect(await configure('containerd', ...again, '--registry', 'quay.io')).toMatchObject({ code: 0, err: '' })
      expect(await configure('containerd', '--undo', '--yes')).toMatchObject({ code: 0, err: '' })
      expect(got(hub)).toBe('# the hub\nserver = "https://registry-1.docker.io"\n\n')
      expect(got(quay)).toBe(own)
      expect(existsSync(at(rest))).toBe(false)
    })
  })

  test('puts back the file as it was in spite of that with --force', async () => {
    put(daemon, original)
    await configure('docker', '--yes')
    put(daemon, '{ broken')
    expect(await configure('docker', '--undo', '--yes')).toMatchObject({ code: 1 })
    expect(got(daemon)).toBe('{ broken')
    expect(await configure('docker', '--undo', '--yes', '--force')).toMatchObject({ code: 0 })
    expect(got(daemon)).toBe(original)
  })

  test('leaves a file alone that was removed since', async () => {
    put(daemon, original)
    await configure('docker', '--yes')
    rmSync(at(daemon))
    expect((await configure('docker', '--undo', '--yes')).code).toBe(0)
    expect(existsSync(at(daemon))).toBe(false)
  })
})

test('--json tells the whole of it, and asks nothing', async () => {
  const planned = JSON.parse((await configure('docker', '--json', '--dry-run')).out)
  const path = daemon
  expect(planned).toMatchObject({ engine: 'docker', done: false, edits: [{ path, action: 'create' }] })
  expect(planned.mirrors).toEqual(['http://127.0.0.1:4880'])
  expect(JSON.parse((await configure('docker', '--json', '--yes')).out)).toMatchObject({ done: true })
  expect(JSON.parse((await configure('docker', '--json', '--yes')).out)).toMatchObject({ done: true, edits: [] })
  const [undone] = JSON.parse((await configure('--undo', '--json', '--yes')).out)
  expect(undone).toMatchObject({ engine: 'docker', done: true, edits: [{ path, action: 'remove' }] })
})

describe('on real files, as they are found on hosts', () => {
  // What an engine runs with is not in its files.
  const onDisk = configurations.filter(({ flags }) => flags === undefined)
  test('there are more than twenty of them', () => expect(onDisk.length).toBeGreaterThan(20))

  test.each(onDisk.map((each) => [each.what, each] as const))('%s', async (_, each) => {
    const { engine, files, becomes, registries, major } = each
    for (const [path, text] of Object.entries(files)) put(path, text)
    const before = tree()
    const named = (registries ?? []).flatMap((name) => ['--registry', name])
    const said = await configure(engine, '--yes', '--standby', standby.slice('http://'.length), ...named)
    if (becomes instanceof RegExp) {
      expect(said.code).toBe(1)
      expect(said.err).toMatch(becomes)
      expect(tree()).toEqual(before)
      return
    }
    expect(said).toMatchObject({ code: 0, err: '' })
    // Which containerd is installed here is not this test's business.
    if (major === undefined) for (const [path, text] of Object.entries(becomes)) expect(got(path)).toBe(text)
    const undone = await configure(engine, '--undo', '--yes')
    expect(undone).toMatchObject({ code: 0, err: '' })
    expect(tree()).toEqual(before)
  })
})
