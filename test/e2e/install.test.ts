/**
 * The installer on a copy of this host whose changes are in memory: from release files and from a running node, and what
 * is left when it was undone. Systems that are booted, and fresh ones, are for `scripts/try-install`.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import {
  copyFileSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join, relative } from 'node:path'
import { hostFacts, whyNot } from '../../src/mount/kernel/support.ts'
import { scratchRoot } from '../lab/lab.ts'
import { builtBinary } from '../lab/node.ts'
import { LabProcess } from '../lab/process.ts'
import { until } from '../lab/until.ts'

const installer = join(import.meta.dir, '../../scripts/install.sh')
const platform = `linux-${process.arch}`
const programs = ['unshare', 'nsenter', 'chroot', 'curl', 'useradd']
const obstacle =
  process.getuid?.() !== 0
    ? 'not root'
    : existsSync('/usr/local/bin/shoal')
      ? 'shoal is installed on this host'
      : programs.filter((program) => !Bun.which(program)).join(', ')
if (obstacle) console.log(`skipped: the installer: ${obstacle}`)

/** The user database has copies of itself and a lock, which are as they are after any user was added. */
const byOthers = /^etc\/(?:\w+-|\.pwd\.lock)$|^var\/log\/|^tmp\//

let dir: string
/** Whose mounts the copy consists of: nobody else has them, and they are gone with it. */
let holder: LabProcess
const root = () => join(dir, 'root')
/** Seen from here, through the holder. */
const upper = () => `/proc/${holder.pid}/root${join(dir, 'memory/upper')}`

async function hold(): Promise<void> {
  const setup = `set -e
    mount -t tmpfs -o size=1g tmpfs "$1/memory"
    mkdir "$1/memory/upper" "$1/memory/work"
    mount -t overlay overlay -o "lowerdir=/,upperdir=$1/memory/upper,workdir=$1/memory/work" "$1/root"
    echo mounted
    exec sleep infinity`
  const command = ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', setup, 'sh', dir]
  holder = new LabProcess(command, { log: join(dir, 'holder.log') })
  await until('the copy of this host is mounted', 20, () => {
    if (!holder.running) throw new Error(`the copy of this host: ${holder.logged()}`)
    return holder.logged().includes('mounted')
  })
}

const usual = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', HOME: '/root' }

/** What runs a command in that system, which has the network of this one. */
function inside(command: string): string[] {
  const enter =
    'mount --bind /proc "$1/proc" && mount --rbind /dev "$1/dev" && mount -t tmpfs tmpfs "$1/run" && ' +
    'mount --bind "$2" "$1/mnt" && exec chroot "$1" sh -c "$3"'
  const there = ['nsenter', `--mount=/proc/${holder.pid}/ns/mnt`]
  return [...there, 'unshare', '--mount', 'sh', '-c', enter, 'sh', root(), join(dir, 'files'), command]
}

function on(command: string, env: Record<string, string> = {}): { code: number; said: string } {
  const { exitCode, stdout, stderr } = Bun.spawnSync(inside(command), { env: { ...usual, ...env } })
  return { code: exitCode, said: `${stdout}${stderr}` }
}

/** The same, while this process answers what it asks. */
async function onMeanwhile(command: string, env: Record<string, string>): Promise<{ code: number; said: string }> {
  const child = Bun.spawn(inside(command), { stdout: 'pipe', stderr: 'pipe', env: { ...usual, ...env } })
  const [stdout, stderr, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ])
  return { code, said: stdout + stderr }
}

/** Paths that are not as they are on this host. */
function changes(folder = upper()): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name)
    const name = relative(upper(), path)
    const original = join('/', name)
    if (byOthers.test(name)) return []
    if (entry.isDirectory()) return [...(existsSync(original) ? [] : [name]), ...changes(path)]
    const there = lstatSync(original, { throwIfNoEntry: false })
    // A whiteout: it was removed, which matters if it was there.
    if (entry.isCharacterDevice()) return there ? [name] : []
    const same = there?.isFile() && entry.isFile() && readFileSync(original).equals(readFileSync(path))
    return same ? [] : [name]
  })
}

describe.skipIf(obstacle !== '')('the installer', () => {
  beforeAll(async () => {
    dir = mkdtempSync(join(scratchRoot, 'shoal-install-'))
    for (const name of ['memory', 'root', 'files']) mkdirSync(join(dir, name))
    await hold()
    const files = join(dir, 'files')
    copyFileSync(installer, join(files, 'install.sh'))
    cpSync(builtBinary, join(files, `shoal-${platform}`))
    const sum = new Bun.CryptoHasher('sha256').update(readFileSync(builtBinary)).digest('hex')
    writeFileSync(join(files, 'SHA256SUMS'), `${'0'.repeat(64)}  shoal-other\n${sum}  shoal-${platform}\n`)
    writeFileSync(join(files, 'key'), Bun.spawnSync([builtBinary, 'keygen']).stdout)
  })
  afterAll(async () => {
    await holder?.kill()
    if (dir) rmSync(dir, { recursive: true, force: true })
  })

  const withSystemd = () => existsSync('/usr/bin/systemctl') || existsSync('/bin/systemctl')
  const wants = () => join(upper(), 'etc/systemd/system/multi-user.target.wants/shoal.service')

  test('without a place to have it from changes nothing, and says where there is one', () => {
    const { code, said } = on('sh /mnt/install.sh')
    expect([code, said]).toEqual([1, expect.stringContaining('http://HOST:4883/install.sh')])
    expect(changes()).toEqual([])
  })

  test('does not install a binary that is not the one it should be', () => {
    const sums = join(dir, 'files/SHA256SUMS')
    const right = readFileSync(sums)
    writeFileSync(sums, `${'1'.repeat(64)}  shoal-${platform}\n`)
    const { code, said } = on('sh /mnt/install.sh', { SHOAL_RELEASES: '/mnt' })
    writeFileSync(sums, right)
    expect([code, said]).toEqual([1, expect.stringContaining('nothing was installed')])
    expect(changes()).toEqual([])
  })

  test('does not install what could not start', () => {
    const { code, said } = on('sh /mnt/install.sh --admin-addr 0.0.0.0:4883', { SHOAL_RELEASES: '/mnt' })
    expect([code, said]).toEqual([2, expect.stringContaining('--admin-token-file')])
    expect(changes()).toEqual([])
  })

  test('brings a release, its settings, the key and the unit, again without harm, and takes it all back', () => {
    const command = 'sh /mnt/install.sh --mode peer --join 10.0.0.1 --cluster-key-file /mnt/key'
    for (let round = 0; round < 2; round++) {
      const { code, said } = on(command, { SHOAL_RELEASES: '/mnt' })
      expect([code, said]).toEqual([0, expect.stringContaining('is installed')])
    }
    expect(readFileSync(join(upper(), 'usr/local/bin/shoal')).equals(readFileSync(builtBinary))).toBe(true)
    const settings = readFileSync(join(upper(), 'etc/shoal/shoal.yaml'), 'utf8')
    expect(settings.replace(/^#.*\n/gm, '')).toBe(
      'mode:\n  - peer\njoin:\n  - 10.0.0.1\ncluster-key-file: /etc/shoal/cluster.key\n',
    )
    expect(lstatSync(join(upper(), 'etc/shoal/cluster.key')).mode & 0o007).toBe(0)
    if (withSystemd()) expect(readlinkSync(wants())).toContain('shoal.service')
    expect(readdirSync(join(upper(), 'usr/local/bin'))).toEqual(['shoal'])

    const { code, said } = on('sh /mnt/install.sh --uninstall')
    expect([code, said]).toEqual([0, expect.stringContaining('removed from this host')])
    expect(changes()).toEqual([])
  }, 60_000)

  test.skipIf(!Bun.which('containerd') || whyNot(hostFacts()) !== undefined)(
    'brings a snapshotter for containerd, shows before what it would do, and takes it all back',
    () => {
      const program = `/mnt/shoal-${platform}`
      const dry = on(`${program} install --snapshotter --dry-run`)
      expect([dry.code, dry.said]).toEqual([0, expect.stringContaining('[proxy_plugins.shoal]')])
      expect(changes()).toEqual([])
      const { code, said } = on(`${program} install --snapshotter && ${program} install --snapshotter`)
      expect([code, said]).toEqual([0, expect.stringContaining('systemctl restart containerd')])
      const config = Bun.TOML.parse(readFileSync(join(upper(), 'etc/containerd/config.toml'), 'utf8'))
      const socket = '/run/shoal-snapshotter/snapshotter.sock'
      expect(config).toMatchObject({ proxy_plugins: { shoal: { type: 'snapshot', address: socket } } })
      if (withSystemd()) {
        const units = join(upper(), 'etc/systemd/system/multi-user.target.wants')
        expect(readdirSync(units).sort()).toEqual([
          'shoal-mounter.service',
          'shoal-snapshotter.service',
          'shoal.service',
        ])
      }
      const used = '/var/lib/shoal-snapshotter/snapshots/7'
      const refused = on(`mkdir -p ${used} && ${program} uninstall`)
      expect([refused.code, refused.said]).toEqual([1, expect.stringContaining('containerd has 1 snapshots')])
      const gone = on(`rmdir ${used} && ${program} uninstall`)
      expect([gone.code, gone.said]).toEqual([0, expect.stringContaining('removed from this host')])
      // Whoever has mounted an image on this host has data there, which goes too.
      const data = ['shoal-mounter', 'shoal-snapshotter'].map((name) => `var/lib/${name}`)
      expect(changes().filter((path) => !(data.includes(path) && existsSync(`/${path}`)))).toEqual([])
    },
    60_000,
  )

  test.skipIf(!Bun.which('busybox'))(
    'wants no more than busybox has: its shell, and its wget for what lies on a web server',
    async () => {
      const release = Bun.serve({
        hostname: '127.0.0.1',
        port: 0,
        fetch: (request) => new Response(Bun.file(join(dir, 'files', new URL(request.url).pathname))),
      })
      try {
        // What the binary itself runs, where there is systemd, is not busybox's.
        const command = `mkdir /run/box /run/more && busybox --install -s /run/box &&
          for name in systemctl useradd userdel; do ln -s "$(command -v $name)" /run/more/ || true; done 2>/dev/null
          export PATH=/run/box:/run/more && ! command -v curl && wget -q -O - ${release.url}install.sh | sh -s -- --mode peer`
        const { code, said } = await onMeanwhile(command, { SHOAL_RELEASES: release.url.origin })
        expect([code, said]).toEqual([0, expect.stringContaining('is installed')])
      } finally {
        await release.stop(true)
      }
      expect(readFileSync(join(upper(), 'usr/local/bin/shoal')).equals(readFileSync(builtBinary))).toBe(true)
      expect(on('shoal uninstall').said).toContain('removed from this host')
      expect(changes()).toEqual([])
    },
    60_000,
  )

  test('of a running node brings the same version, and joins its cluster', async () => {
    const address = `127.78.${process.pid % 250}.1`
    const ports = ['registry', 'peer', 'p2p', 'admin'].flatMap((name, i) => [
      `--${name}-addr`,
      `${address}:${24880 + i}`,
    ])
    const flags = [...ports, '--no-mdns', '--advertise', address, '--data-dir', join(dir, 'data')]
    const node = new LabProcess([builtBinary, 'up', ...flags], { log: join(dir, 'node.log'), cwd: '/' })
    try {
      const admin = `http://${address}:24883`
      await until('it is ready', 30, async () => (await fetch(`${admin}/readyz`).catch(() => undefined))?.ok === true)
      const { code, said } = on(`curl -fsS ${admin}/install.sh | sh -s -- --no-mdns`)
      expect([code, said]).toEqual([0, expect.stringContaining('is installed')])
      const settings = readFileSync(join(upper(), 'etc/shoal/shoal.yaml'), 'utf8')
      expect(settings.replace(/^#.*\n/gm, '')).toBe(`join:\n  - /ip4/${address}/tcp/24882\nmdns: false\n`)
      expect(on('shoal version').said).toBe(Bun.spawnSync([builtBinary, 'version']).stdout.toString())
    } finally {
      await node.stop(20_000)
    }
    expect(on('shoal uninstall --keep-data').said).toContain('/etc/shoal/shoal.yaml')
    expect(changes()).toContain('etc/shoal/shoal.yaml')
    expect(existsSync(join(upper(), 'usr/local/bin/shoal'))).toBe(false)
  }, 60_000)
})
