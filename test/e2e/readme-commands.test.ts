/**
 * Every command of the README and of the help topics' quick start, as it stands there and in that order, on a host with
 * dockerd, containerd and podman where names like ghcr.io lead to registries of the lab. Scripts are only looked up: what
 * they run takes hours, or makes the binary anew that other tests run.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { engineObstacle } from '../lab/engines/obstacle.ts'
import { pushImage, writeIndex } from '../lab/image.ts'
import { Lab } from '../lab/lab.ts'
import { syntheticLayer } from '../lab/layers.ts'
import { builtBinary, LabNode } from '../lab/node.ts'
import { OwnSystem } from '../lab/own-system.ts'
import type { LabProcess } from '../lab/process.ts'
import { realLayers } from '../lab/real-layers.ts'
import { LabRegistry, serveFolder } from '../lab/registry.ts'
import { run } from '../lab/run.ts'
import { until } from '../lab/until.ts'
import { codeOf } from '../written.ts'

const root = join(import.meta.dir, '..', '..')
const readme = readFileSync(join(root, 'README.md'), 'utf8')
const lines = codeOf(readme, 'sh')
  .flatMap((text) => text.replaceAll(/\\\n\s*/g, '').split('\n'))
  .filter((line) => line.trim() !== '' && !line.startsWith('#'))
const scripts = lines.filter((line) => line.startsWith('scripts/'))
const commands = lines.filter((line) => !line.startsWith('scripts/'))

test.each(scripts)('%s: there is such a script, and it takes those words', (line) => {
  const [path = '', ...words] = line.replace(/ +#.*/, '').split(/ +/)
  const text = [path, `${path}.ts`].map((file) => join(root, file)).filter(existsSync)
  const known = text.map((file) => readFileSync(file, 'utf8')).join('\n')
  // What follows a flag is its value, and of faults part of a name; what is in a home is the reader's.
  const given = (word: string, i: number) => words[i - 1]?.startsWith('-') || word.startsWith('~/')
  const named = words.filter((word, i) => word.startsWith('-') || !given(word, i))
  expect(named.filter((word) => !existsSync(join(root, word)) && !known.includes(word))).toEqual([])
})

const programs = ['dockerd', 'docker', 'containerd', 'ctr', 'runc', 'podman', 'openssl', 'nsenter', 'script', 'useradd']
const obstacle = existsSync('/usr/local/bin/shoal')
  ? 'shoal is installed on this host'
  : await engineObstacle('commands of the README', programs)

const files = '1.2.3.4'
const commit = '0123abc'

describe.skipIf(obstacle !== undefined)('on a host, the README says', () => {
  let lab: Lab
  let hub: LabRegistry
  let system: OwnSystem
  let node: LabProcess | undefined

  beforeAll(async () => {
    lab = await Lab.create({ hosts: ['hub', 'first', 'host'] })
    const [registries, first, host] = ['hub', 'first', 'host'].map((name) => lab.host(name)) as [
      (typeof lab.hosts)[0],
      (typeof lab.hosts)[0],
      (typeof lab.hosts)[0],
    ]
    await first.exec(['ip', 'address', 'add', '10.0.0.1/24', 'dev', 'eth0'])
    await host.exec(['ip', 'address', 'add', '10.0.0.9/24', 'dev', 'eth0'])
    // Files come from anywhere but private networks, unless those are listed: so files.corp has a public address.
    await first.exec(['ip', 'address', 'add', `${files}/32`, 'dev', 'eth0'])
    await host.exec(['ip', 'route', 'add', `${files}/32`, 'dev', 'eth0'])

    const [certificate, key] = ['ca.pem', 'ca.key'].map((name) => join(lab.dir, name)) as [string, string]
    await run([
      ...['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'],
      ...['-days', '2', '-keyout', key, '-out', certificate, '-subj', '/CN=registry-1.docker.io'],
      ...['-addext', 'subjectAltName=DNS:registry-1.docker.io,DNS:ghcr.io,DNS:registry.corp,DNS:files.corp'],
    ])
    const at = (port: number, tls?: { certificate: string; key: string }) =>
      LabRegistry.start({ host: registries, port, dir: join(registries.dir, String(port)), ...(tls ? { tls } : {}) })
    hub = await at(443, { certificate, key })
    await at(5000)
    // A shell and what goes with it, for there are commands to be run in what was mounted.
    const layers = [...(await realLayers(1_000_000)).layers.slice(0, 1), await syntheticLayer(lab.dir, 100_000, 1)]
    const image = writeIndex(join(lab.dir, 'layout'), 'v1', [{ layers }, { layers, architecture: 'arm64' }])
    for (const [place, name, tag] of [
      ['127.0.0.1:443', 'library/debian', '13'],
      ['127.0.0.1:443', 'library/alpine', '3'],
      ['127.0.0.1:443', 'org/app', 'v1'],
      ['127.0.0.1:443', 'org/app', 'v7'],
      ['127.0.0.1:5000', 'team/app', 'v1'],
      ['127.0.0.1:5000', 'app', commit],
    ] as const) {
      await pushImage(image, place, name, tag, { from: registries })
    }

    // Release files, for the host that has nothing but curl, and downloads: the digest of an empty one is told.
    const folder = join(lab.dir, 'files')
    mkdirSync(join(folder, 'shoal'), { recursive: true })
    const binary = `shoal-linux-${process.arch}`
    symlinkSync(builtBinary, join(folder, 'shoal', binary))
    symlinkSync(join(root, 'scripts', 'install.sh'), join(folder, 'shoal', 'install.sh'))
    const sum = new Bun.CryptoHasher('sha256').update(readFileSync(builtBinary)).digest('hex')
    writeFileSync(join(folder, 'shoal', 'SHA256SUMS'), `${sum}  ${binary}\n`)
    writeFileSync(join(folder, 'disk.img'), '')
    writeFileSync(join(folder, 'tool.bin'), 'a tool')
    await serveFolder(first, folder, 80)
    await serveFolder(first, folder, 443, { certificate, key })

    const token = join(first.dir, 'admin.token')
    writeFileSync(token, 'correct-horse-battery-staple\n', { mode: 0o600 })
    const flags = ['--admin-addr', '0.0.0.0:4883', '--admin-token-file', token, '--ca-file', certificate]
    const there = ['--zone', 'eu/fra/r1', '--upstream', `registry.corp=http://${registries.address}:5000`]
    await new LabNode({ host: first, flags: [...flags, ...there] }).ready()

    // Settings of this host that the README's lines leave to its operator.
    system = await OwnSystem.start(host, [root], {
      SSL_CERT_FILE: certificate,
      SHOAL_CA_FILE: certificate,
      STORAGE_DRIVER: 'vfs',
      HOME: '/root',
      CI_COMMIT_SHA: commit,
    })
    const names = 'registry-1.docker.io ghcr.io registry.corp'
    await done('rm -f /etc/docker/daemon.json /etc/containers/registries.conf.d/shoal.conf')
    await done(`printf '127.0.0.1 localhost\\n${registries.address} ${names}\\n${files} files.corp\\n' > /etc/hosts`)
    await done('mkdir -p /srv/shoal /root/.docker /etc/docker /etc/containers /etc/shoal /run/secrets')
    await done(`cp ${token} /run/secrets/shoal; umask 077; echo a-password > /etc/shoal/state.password`)
    await done(`ln -s ${root}/dist ${root}/scripts /srv/shoal/ && cp ${token} /srv/shoal/admin.token`)
    await done(`echo '{"auths":{}}' > /root/.docker/config.json; chmod 600 /root/.docker/config.json`)
    await done(`${builtBinary} keygen --output /root/cluster.key`)
    await done(
      `[ -f /etc/containers/policy.json ] || echo '{"default":[{"type":"insecureAcceptAnything"}]}' > /etc/containers/policy.json`,
    )
    // The image of a release is made by its own script; any other goes the same ways.
    await done(`skopeo copy --quiet --all oci:${image.dir}:v1 oci-archive:/srv/shoal/shoal-image.tar`)
    const quiet = '--bridge=none --iptables=false --ip6tables=false --exec-opt native.cgroupdriver=cgroupfs'
    system.spawn(`dockerd ${quiet} --storage-driver vfs --max-download-attempts 1`, 'dockerd.log')
    system.spawn('containerd', 'containerd.log')
    await until('the engines answer', 30, async () => (await system.run('docker version && ctr version')).code === 0)
  }, 120_000)
  afterAll(() => lab?.close())

  /** @throws with what it said, unless it ended well */
  async function done(line: string, answered = false): Promise<string> {
    const { code, stdout, stderr } = await (answered ? system.answered(line) : system.run(line))
    if (code !== 0) throw new Error(`"${line}" ended with ${code}: ${stdout}${stderr}`)
    return stdout
  }

  async function stop(): Promise<void> {
    // What was spawned is the way into the system, and not the program: that is asked to end from inside.
    if (node?.running)
      await system.run('pkill --exact shoal; while pgrep --exact shoal >/dev/null; do sleep 0.05; done')
    node = undefined
  }

  /** It ends with 1 where a source is out of reach, say, which is not what is looked at. */
  const seenByDoctor = async () => (await system.run('shoal doctor')).stdout

  async function up(line: string): Promise<void> {
    await stop()
    const started = system.spawn(line, 'node.log')
    node = started
    await until(`"${line}" is ready`, 30, async () => {
      if (!started.running) throw new Error(`"${line}" ended: ${started.logged().slice(-2000)}`)
      return (await system.run('curl -fs http://127.0.0.1:4883/readyz')).code === 0
    })
  }

  test.each(commands)(
    '%s',
    async (line) => {
      const uninstall = line.startsWith('shoal uninstall')
      // It was removed in between.
      if (!uninstall)
        await done('[ -x /usr/local/bin/shoal ] || install -m 755 /srv/shoal/dist/shoal /usr/local/bin/shoal')
      if (/^shoal up\b/.test(line)) return up(line)
      const [, manifests] = /^kubectl apply -f (\S+)$/.exec(line) ?? []
      // There is no Kubernetes here; what is handed to it is held to its schemas where it is made.
      if (manifests) return void (await done(`grep -q '^kind: DaemonSet' /srv/shoal/${manifests}`))
      if (uninstall) await stop()
      if (line.includes('//127.0.0.1:4883') && !node) await up('shoal up')
      // What its reader has built.
      if (line.startsWith('docker tag app:v1')) await done('docker tag localhost:4880/ghcr.io/org/app:v1 app:v1')
      if (line.startsWith('shoal tags') && line.includes('--at 24h')) {
        // This cluster is younger.
        const { code, stderr } = await system.run(line)
        return expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringContaining('nothing is known of') })
      }
      const said = await done(`set -o pipefail; cd /srv/shoal && ${line}`, line.startsWith('shoal configure'))
      const [, engine] = /^shoal configure (docker|containerd|podman)$/.exec(line) ?? []
      if (engine) {
        expect(said).toContain('written: ')
        // The daemon that runs included, where it can be asked.
        expect(await seenByDoctor()).toMatch(
          new RegExp(`^ok +engines +${engine} is pointed at http://127.0.0.1:4880`, 'm'),
        )
      }
      if (line === 'shoal status') expect(said).toMatch(/docker\.io\/library\/debian/)
      if (uninstall) expect((await system.run('ls /usr/local/bin/shoal')).code).not.toBe(0)
    },
    60_000,
  )

  test('and all that engines pulled came through nodes', () => {
    const agents = hub
      .accesses()
      .flatMap(({ method, path, agent }) => (method === 'GET' && path.includes('/blobs/') ? [agent] : []))
    expect(new Set(agents)).toEqual(new Set(['shoal']))
  })
})
