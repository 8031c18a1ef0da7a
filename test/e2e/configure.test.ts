import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { Containerd } from '../lab/engines/containerd.ts'
import { type DockerHub, startDockerHub } from '../lab/engines/docker-hub.ts'
import { Dockerd } from '../lab/engines/dockerd.ts'
import { engineDir } from '../lab/engines/enclosure.ts'
import { engineObstacle } from '../lab/engines/obstacle.ts'
import { pushImage, type Written, writeImage } from '../lab/image.ts'
import { Lab } from '../lab/lab.ts'
import { syntheticLayer } from '../lab/layers.ts'
import { builtBinary, LabNode } from '../lab/node.ts'
import { run, tryRun } from '../lab/run.ts'
import { until } from '../lab/until.ts'

const programs = ['dockerd', 'docker', 'containerd', 'ctr', 'runc', 'openssl', 'pgrep', 'nsenter']
const obstacle = await engineObstacle('configured engines', programs)
const local = 'http://127.0.0.1:4880'
/** There is no such host: what comes from it came through a node. */
const elsewhere = 'registry.lab'

interface Told {
  readonly done: boolean
  readonly mirrors: string[]
  readonly notes: string[]
  readonly edits: { path: string; action: string }[]
  readonly outcome?: { state: string; said: string }
}

describe.skipIf(obstacle !== undefined)('shoal configure, with real engines', () => {
  let lab: Lab
  let hub: DockerHub
  let nodes: LabNode[]
  let standby: string

  beforeAll(async () => {
    lab = await Lab.create({ hosts: ['hub', 'host1', 'host2'] })
    hub = await startDockerHub(lab.host('hub'))
    const { url } = hub.registry
    const flags = ['--upstream', `docker.io=${url}`, '--upstream', `${elsewhere}=${url}`, '--ca-file', hub.caFile]
    nodes = [
      new LabNode({ host: lab.host('host1'), flags }),
      new LabNode({ host: lab.host('host2'), flags: [...flags, '--registry-addr', '0.0.0.0:4880'] }),
    ]
    for (const node of nodes) await node.ready()
    await until('the nodes know each other', 20, async () => (await nodes[0]!.members()) === 2)
    standby = `http://${lab.host('host2').address}:4880`
  }, 60_000)
  afterAll(() => lab?.close())

  async function push(repository: string, seed: number): Promise<Written> {
    const layers = [await syntheticLayer(lab.dir, 1_000_000, seed)]
    const written = writeImage(join(lab.dir, `layout-${seed}`), 'v1', { layers })
    await pushImage(written, '127.0.0.1:443', repository, 'v1', { from: lab.host('hub') })
    return written
  }

  const asked = (client: string) => hub.registry.accesses().filter(({ agent }) => agent.startsWith(client)).length

  describe('dockerd', () => {
    let engine: Dockerd
    let file: string
    let before: string
    /** Runs `shoal configure docker` where dockerd runs: it looks for the process that reads the file. */
    let configure: (...flags: string[]) => Promise<Told>

    beforeAll(async () => {
      const host = lab.host('host1')
      const dir = engineDir(host, 'docker')
      engine = await Dockerd.start({ host, mirrors: [], hosts: hub.hosts, caFile: hub.caFile })
      file = join(dir, 'daemon.json')
      before = readFileSync(file, 'utf8')
      const pid = (await run(['pgrep', '-f', `^dockerd --config-file ${file}`])).trim()
      configure = async (...flags) => {
        const there = ['nsenter', '--target', pid, '--mount', '--pid', '--net']
        const own = ['--file', file, '--backup-dir', join(dir, 'undo'), '--yes', '--json']
        return JSON.parse(await run([...there, builtBinary, 'configure', 'docker', ...own, ...flags])) as Told
      }
    }, 60_000)

    const used = async () =>
      JSON.parse(await engine.docker('info', '--format', '{{json .RegistryConfig.Mirrors}}')) as string[] | null

    test('takes both mirrors without a restart, the node of the host first', async () => {
      const told = await configure()
      expect(told).toMatchObject({ done: true, mirrors: [local, standby], outcome: { state: 'in-use' } })
      expect(await used()).toEqual([`${local}/`, `${standby}/`])
      expect(engine.process.running).toBe(true)
      expect((await configure()).edits).toEqual([])
    })

    test('pulls through the node', async () => {
      const { digest } = await push('library/app', 1)
      await engine.docker('pull', 'app:v1')
      expect(await engine.digestsOf('app:v1')).toEqual([`app@${digest}`])
      expect(asked('docker')).toBe(0)
    })

    test('pulls through the stand-by while the node is down', async () => {
      const { digest } = await push('library/second', 2)
      await nodes[0]!.process.stop()
      await engine.docker('pull', 'second:v1')
      expect(await engine.digestsOf('second:v1')).toEqual([`second@${digest}`])
      expect(asked('docker')).toBe(0)
    })

    test('has its file back byte for byte after an undo, and no mirror', async () => {
      expect(await configure('--undo')).toMatchObject({ done: true, outcome: { state: 'in-use' } })
      expect(readFileSync(file, 'utf8')).toBe(before)
      expect((await used()) ?? []).toEqual([])
      expect(existsSync(join(file, '..', 'undo'))).toBe(false)
      await engine.docker('pull', 'app:v1')
      await until('dockerd asks the hub itself', 5, () => asked('docker') > 0)
    })

    test('has no mirror after an undo where its file said nothing of mirrors either', async () => {
      const { 'registry-mirrors': _, ...others } = JSON.parse(before)
      const unsaid = JSON.stringify(others)
      writeFileSync(file, unsaid)
      chmodSync(file, 0o640)
      expect(await configure()).toMatchObject({ done: true, outcome: { state: 'in-use' } })
      expect(await used()).toContain(`${local}/`)
      expect(await configure('--undo')).toMatchObject({ done: true, outcome: { state: 'in-use' } })
      expect((await used()) ?? []).toEqual([])
      expect(readFileSync(file, 'utf8')).toBe(unsaid)
      expect(statSync(file).mode & 0o777).toBe(0o640)
    })
  })

  test('containerd pulls what is of another registry through the node, by _default, and is as before after an undo', async () => {
    const host = lab.host('host2')
    const engine = await Containerd.start(host)
    const dir = engineDir(host, 'containerd')
    const config = join(dir, 'config.toml')
    appendFileSync(
      config,
      `\n[plugins."io.containerd.grpc.v1.cri".registry]\nconfig_path = "${join(dir, 'hosts.d')}"\n`,
    )
    const configure = async (...flags: string[]) => {
      const own = ['--file', config, '--backup-dir', join(dir, 'undo'), '--yes', '--json']
      return JSON.parse(await host.exec([builtBinary, 'configure', 'containerd', ...own, ...flags])) as Told
    }
    const { digest } = await push('org/image', 3)
    const told = await configure()
    // The other node is down, and its registry port was for its own host alone.
    expect(told.mirrors).toEqual([local])
    expect(told.edits.map(({ action }) => action)).toEqual(['create', 'create'])
    await engine.pull(`${elsewhere}/org/image:v1`)
    expect(await engine.digestOf(`${elsewhere}/org/image:v1`)).toBe(digest)
    expect(asked('containerd')).toBe(0)
    expect(await configure('--undo')).toMatchObject({ done: true })
    expect([existsSync(join(dir, 'hosts.d')), existsSync(join(dir, 'undo'))]).toEqual([false, false])
  })

  describe('config.toml of containerd', () => {
    const kinds: [string, () => Promise<string>][] = [
      ['that is not there', () => Promise.resolve('')],
      ['of the first version', () => Promise.resolve('root = "/data"\n')],
      ['of the second version', () => Promise.resolve('version = 2\n[debug]\nlevel = "info"\n')],
      ['that it prints itself', () => run(['containerd', 'config', 'default'])],
    ]
    test.each(kinds)(
      '%s: containerd reads config_path from it afterwards, and all else as before',
      async (kind, make) => {
        const root = join(lab.dir, `root-${kind.replaceAll(' ', '-')}`)
        const file = join(root, 'etc/containerd/config.toml')
        mkdirSync(join(file, '..'), { recursive: true })
        const text = await make()
        if (text !== '') writeFileSync(file, text)
        const dump = async () => {
          // A file that is not there is the same as an empty one of the version that it prints.
          const read = existsSync(file) ? file : '/dev/null'
          const lines = (await run(['containerd', '--config', read, 'config', 'dump'])).split('\n')
          // The file itself is listed there.
          return lines.filter((line) => !line.startsWith('imports = '))
        }
        const before = await dump()
        await run([builtBinary, 'configure', 'containerd', '--root', root, '--yes'])
        const after = await dump()
        const added = after.filter((line) => !before.includes(line)).map((line) => line.trim().replaceAll("'", '"'))
        expect(added).toEqual(['config_path = "/etc/containerd/certs.d"'])
        expect(after).toHaveLength(before.length)
        await run([builtBinary, 'configure', 'containerd', '--root', root, '--undo', '--yes'])
        expect(existsSync(file) ? readFileSync(file, 'utf8') : '').toBe(text)
      },
    )
  })

  test('a file system that is read-only is left alone, and it is said so', async () => {
    const root = join(lab.dir, 'read-only')
    mkdirSync(join(root, 'etc/docker'), { recursive: true })
    writeFileSync(join(root, 'etc/docker/daemon.json'), '{}')
    const steps =
      'mount --bind "$1/etc/docker" "$1/etc/docker" && mount -o remount,ro,bind "$1/etc/docker" && shift && exec "$@"'
    const command = [builtBinary, 'configure', 'docker', '--root', root, '--yes']
    const { code, stderr } = await tryRun(['unshare', '--mount', 'sh', '-c', steps, 'sh', root, ...command])
    expect(code).toBe(1)
    expect(stderr).toContain('cannot write /etc/docker/daemon.json: it is on a read-only file system')
    expect(readdirSync(root, { recursive: true }).sort()).toEqual(['etc', 'etc/docker', 'etc/docker/daemon.json'])
    expect(readFileSync(join(root, 'etc/docker/daemon.json'), 'utf8')).toBe('{}')
  })

  test('skopeo, as podman and CRI-O, copies through the node by the drop-in', async () => {
    const host = lab.host('host2')
    const file = join(host.dir, 'registries.conf.d', 'shoal.conf')
    const own = ['--file', file, '--backup-dir', join(host.dir, 'undo'), '--registry', elsewhere, '--yes']
    await push('org/third', 4)
    await host.exec([builtBinary, 'configure', 'podman', ...own])
    const skopeo = ['skopeo', '--insecure-policy', '--registries-conf', file]
    await host.exec([...skopeo, 'copy', `docker://${elsewhere}/org/third:v1`, `dir:${join(host.dir, 'third')}`])
    await host.exec([builtBinary, 'configure', 'podman', ...own, '--undo'])
    expect(existsSync(join(file, '..'))).toBe(false)
  })
})
