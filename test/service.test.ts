/** The unit of the service, as systemd's own judge of such files sees it. */
import { expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

const unit = join(import.meta.dir, '../systemd/shoal.service')
const judge = Bun.which('systemd-analyze')

test.skipIf(judge === null)('the service is exposed to little: 2 of 10 at most', () => {
  const { stdout, stderr } = Bun.spawnSync([judge!, 'security', '--offline=true', '--no-pager', unit])
  const level = /exposure level for \S+: ([\d.]+)/.exec(stdout.toString())?.[1]
  expect(Number(level ?? Number.NaN), stderr.toString()).toBeLessThanOrEqual(2)
})

test('the service is no root, has no capability, and can write nowhere but where its data is', () => {
  const lines = readFileSync(unit, 'utf8').split('\n')
  for (const line of ['User=shoal', 'CapabilityBoundingSet=', 'AmbientCapabilities=', 'ProtectSystem=strict']) {
    expect(lines).toContain(line)
  }
  expect(lines.filter((line) => line.startsWith('ReadWritePaths='))).toEqual([])
})

const read = (name: string) => readFileSync(join(import.meta.dir, '../systemd', name), 'utf8').split('\n')

test.skipIf(judge === null)('the snapshotter is exposed to little: 3 of 10 at most', () => {
  const file = join(import.meta.dir, '../systemd/shoal-snapshotter.service')
  const { stdout, stderr } = Bun.spawnSync([judge!, 'security', '--offline=true', '--no-pager', file])
  const level = /exposure level for \S+: ([\d.]+)/.exec(stdout.toString())?.[1]
  expect(Number(level ?? Number.NaN), stderr.toString()).toBeLessThanOrEqual(3)
})

test('the mounter has the mounts of the host, or nobody would see what it mounts', () => {
  // systemd.exec(5), "Sandboxing": each of these makes a mount namespace.
  const own =
    /^(?:Private(?:Tmp|Devices|Mounts|Users|Network)|Protect\w+|ReadWritePaths|ReadOnlyPaths|InaccessiblePaths|Bind\w*Paths|TemporaryFileSystem|RootDirectory|MountFlags|DynamicUser|RuntimeDirectory)=/
  expect(read('shoal-mounter.service').filter((line) => own.test(line))).toEqual([])
})

test.each(['mounter', 'snapshotter'])(
  'flags of the %s come from its file, and are none where there is no such file',
  (name) => {
    const lines = read(`shoal-${name}.service`)
    // systemd.service(5), "Command lines": without braces it is split into words, and none if it is empty.
    expect(lines.find((line) => line.startsWith('ExecStart='))).toMatch(/ \$FLAGS$/)
    // systemd.exec(5): what the file says comes before this one.
    expect(lines).toContain('Environment=FLAGS=')
    expect(lines).toContain(`EnvironmentFile=-/etc/default/shoal-${name}`)
  },
)

test('both end after containerd does, and the mounter becomes a new program rather than being restarted', () => {
  for (const name of ['shoal-snapshotter.service', 'shoal-mounter.service'])
    expect(read(name).find((line) => line.startsWith('Before='))).toContain('containerd.service')
  expect(read('shoal-mounter.service').find((line) => line.startsWith('ExecReload='))).toContain('kill -HUP')
})
