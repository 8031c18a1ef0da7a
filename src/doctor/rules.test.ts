/** What is said of facts, one table for each check. */
import { describe, expect, test } from 'bun:test'
import type { MemberFacts } from '../admin/view.ts'
import { judgeClock, type Witness } from './clock.ts'
import { type DiskFacts, judgeDisk } from './disk.ts'
import { type EngineFacts, judgeEngines } from './engines.ts'
import { judgeFiles } from './files.ts'
import type { Finding } from './finding.ts'
import { judgeKernel, supportOf } from './kernel.ts'
import { judgeMembers, type MembersFacts } from './members.ts'
import { judgePorts, type PortFacts } from './ports.ts'
import { type ClusterFacts, judgeCluster } from './secrets.ts'
import { judgeSources } from './sources.ts'

/** `problem: what was found` for each, `good` ones by their level alone. */
const said = (findings: readonly Finding[]) =>
  findings.map(({ level, what }) => (level === 'good' ? 'good' : `${level}: ${what}`))

/** What operators are to do; each that is wrong says it. */
const remedies = (findings: readonly Finding[]) => findings.map(({ remedy }) => remedy)

test('whatever is wrong is said with why it matters and what to do', () => {
  const wrong = [
    ...judgePorts([{ ...port, taken: true }], false),
    ...judgeDisk({ ...disk, mount: { ...disk.mount, readOnly: true } }),
    ...judgeClock([{ kind: 'source', name: 'docker.io', ahead: 900 }], false),
    ...judgeFiles({ limit: 1024, ofNode: true, service: true }),
    ...judgeEngines([{ ...docker, changes: [docker.file], named: false }], mirror),
    ...judgeCluster({ ...cluster, files: [{ path: '/key', what: 'cluster key', mode: 0o644 }] }),
    ...judgeMembers({ ...alone, joins: [{ where: '10.0.0.1:4882', failed: 'no answer' }] }),
    ...judgeSources([{ registry: 'docker.io', url: 'https://registry-1.docker.io', status: 503 }], true),
  ]
  expect(wrong.length).toBeGreaterThan(7)
  for (const { level, why, remedy } of wrong) {
    expect(['warning', 'problem']).toContain(level)
    expect([why, remedy]).toEqual([expect.stringMatching(/\S/), expect.stringMatching(/\S/)])
  }
})

const port: PortFacts = { flag: '--registry-addr', address: { host: '127.0.0.1', port: 4880 }, taken: false }

describe('ports', () => {
  const peer: PortFacts = { flag: '--peer-addr', address: { host: '0.0.0.0', port: 4881 }, taken: true }
  const held = { ...port, taken: true, holder: { pid: 12, program: 'nginx' } }
  const cases: [string, PortFacts[], boolean, string[]][] = [
    ['free ones are good', [port], false, ['good']],
    ['who has one is named', [held], false, ['problem: 127.0.0.1:4880 (--registry-addr) is taken by nginx (pid 12)']],
    [
      'who may not be seen is not',
      [{ ...port, taken: true }],
      false,
      ['problem: 127.0.0.1:4880 (--registry-addr) is taken by another program'],
    ],
    ['a node that runs has them', [{ ...port, taken: true }, peer], true, ['good']],
    ['or ought to', [port], true, ['problem: nothing listens on 127.0.0.1:4880 (--registry-addr)']],
    [
      'one for others must not be on loopback',
      [{ ...peer, address: { host: '127.0.0.1', port: 4881 } }],
      true,
      ['warning: other hosts do not reach 127.0.0.1:4881 (--peer-addr)'],
    ],
  ]
  test.each(cases)('%s', (_, ports, running, expected) => {
    expect(said(judgePorts(ports, running))).toEqual(expected)
  })

  test('a node that has the port is to be asked at its own admin port, and not to be killed', () => {
    const [remedy] = remedies(judgePorts([{ ...held, holder: { pid: 12, program: 'shoal' } }], false))
    expect(remedy).toStartWith('shoal doctor --admin-addr')
  })
})

const GiB = 1024 ** 3
const disk: DiskFacts = {
  dataDir: '/var/lib/shoal',
  exists: true,
  mount: { point: '/', kind: 'ext4', readOnly: false },
  free: 60 * GiB,
  total: 100 * GiB,
  inodes: { free: 900, total: 1000 },
  limit: 48 * GiB,
  keepFree: GiB,
  writable: true,
  strays: { owner: 'shoal', names: [] },
}

describe('disk', () => {
  const on = (kind: string) => ({ ...disk, mount: { ...disk.mount, kind } })
  const cases: [string, DiskFacts, string[]][] = [
    ['room on a disk of the host is good', disk, ['good']],
    [
      'less is free than is to be',
      { ...disk, free: GiB / 2 },
      ['warning: 512 MiB are free on /, and 1 GiB are to stay free (--keep-free)'],
    ],
    [
      'less room than an image takes',
      { ...disk, limit: 300 * 1024 ** 2 },
      ['warning: blobs may take 300 MiB only (--cache-size)'],
    ],
    ['few inodes', { ...disk, inodes: { free: 10, total: 1000 } }, ['warning: 10 of 1000 inodes are free on /']],
    ['none', { ...disk, inodes: { free: 0, total: 1000 } }, ['problem: 0 of 1000 inodes are free on /']],
    ['a file system without a number of inodes', { ...disk, inodes: { free: 0, total: 0 } }, ['good']],
    [
      'nothing can be written',
      { ...disk, mount: { ...disk.mount, readOnly: true } },
      ['problem: /var/lib/shoal is on a read-only file system (/)'],
    ],
    ['not by this user', { ...disk, writable: false }, ['problem: this user may not write to /var/lib/shoal']],
    [
      'files of somebody else',
      { ...disk, strays: { owner: 'shoal', names: ['node.key'] } },
      ['problem: node.key in /var/lib/shoal is not of shoal, who owns the directory'],
    ],
    ['the network', on('nfs4'), ['warning: /var/lib/shoal is on nfs4, a file system of another host']],
    ['memory', on('tmpfs'), ['warning: /var/lib/shoal is in memory (tmpfs at /)']],
    ['no sparse files', on('vfat'), ['warning: /var/lib/shoal is on vfat']],
    [
      'a container',
      on('overlay'),
      ['good', "note: /var/lib/shoal is in a container's own file system: it goes with the container"],
    ],
  ]
  test.each(cases)('%s', (_, facts, expected) => {
    expect(said(judgeDisk(facts))).toEqual(expected)
  })
})

describe('clock', () => {
  const of = (kind: Witness['kind'], name: string, ahead: number): Witness => ({ kind, name, ahead })
  const cases: [string, Witness[], boolean, string[]][] = [
    ['nobody to compare with', [], false, ['note: nobody answered whose clock this one could be compared with']],
    ['a second is the way', [of('member', 'a', 1.4), of('source', 'hub', -1)], true, ['good']],
    [
      'all others agree: it is this one',
      [of('member', 'a', 61), of('member', 'b', 60), of('source', 'hub', 62)],
      true,
      ['problem: this clock is 61 s behind: so say a, b, hub'],
    ],
    [
      'less than what tickets want is a warning',
      [of('member', 'a', -12), of('member', 'b', -11)],
      true,
      ['warning: this clock is 11 s ahead: so say a, b'],
    ],
    [
      'one member alone is off',
      [of('member', 'a', 0), of('member', 'b', 7200)],
      true,
      ['problem: the clock of b is 2 hours ahead of this one'],
    ],
    [
      'without a key its requests are not refused for that',
      [of('member', 'a', 0), of('member', 'b', 7200)],
      false,
      ['warning: the clock of b is 2 hours ahead of this one'],
    ],
    [
      'a registry is, whose tokens and certificates have times',
      [of('source', 'hub', -1_000_000)],
      false,
      ['problem: the clock of hub is 12 days behind this one'],
    ],
  ]
  test.each(cases)('%s', (_, witnesses, keyed, expected) => {
    expect(said(judgeClock(witnesses, keyed))).toEqual(expected)
  })
})

test('the kernel is described, and never a reason to fail', () => {
  const filesystems = 'nodev\tsysfs\nnodev\toverlay\n\text4\n'
  const modules = 'kernel/fs/erofs/erofs.ko.xz: kernel/lib/x.ko\n'
  const support = (name: string) => supportOf(name, filesystems, modules)
  expect([support('overlay'), support('ext4'), support('erofs'), support('fuse')]).toEqual([
    'yes',
    'yes',
    'as a module',
    'no',
  ])
  const facts = { release: '6.1', overlay: 'yes', fuse: 'yes', erofs: 'no', fuseDevice: false } as const
  expect(said(judgeKernel(facts))).toEqual([
    'note: Linux 6.1: overlay yes, FUSE yes, without /dev/fuse, EROFS no; a node needs none of them',
  ])
})

test('fewer files than clients may need is a warning, with the remedy for what supervises the node', () => {
  expect(said(judgeFiles({ limit: 8192, ofNode: true, service: true }))).toEqual(['good'])
  const few = (service: boolean) => judgeFiles({ limit: 1024, ofNode: false, service })
  expect(said(few(true))).toEqual(['warning: a node started from here may have 1024 files open, fewer than 8192'])
  expect([...remedies(few(true)), ...remedies(few(false))]).toEqual([
    'systemctl edit shoal   # [Service] LimitNOFILE=1048576',
    'ulimit -Hn 1048576   # as root, in the shell that starts it',
  ])
})

const mirror = 'http://127.0.0.1:4880'
const docker: EngineFacts = {
  engine: 'docker',
  running: true,
  file: '/etc/docker/daemon.json',
  changes: [],
  named: true,
}

describe('engines', () => {
  const unnamed = { changes: ['/x'], named: false }
  const containerd: EngineFacts = { ...docker, engine: 'containerd', ...unnamed }
  const podman: EngineFacts = { ...docker, engine: 'podman', running: false, ...unnamed }
  const cases: [string, EngineFacts[], string[]][] = [
    ['none', [], ['note: there is no docker, containerd, podman or CRI-O on this host']],
    ['one that asks the node', [docker], ['good']],
    ['one that does not', [{ ...docker, ...unnamed }], ['warning: docker is not pointed at the node']],
    [
      'one that was told and does not',
      [{ ...docker, inUse: ['https://mirror.corp/'] }],
      ['warning: /etc/docker/daemon.json names the node, and the dockerd that runs does not use it'],
    ],
    ['one that was told and does', [{ ...docker, inUse: ['http://127.0.0.1:4880/'] }], ['good']],
    [
      'not for all',
      [{ ...docker, changes: ['/x'] }],
      ['note: docker is pointed at the node, but not for all that it could be, or not first'],
    ],
    [
      'a file that is broken',
      [{ ...docker, changes: ['/x'], refusal: '/etc/docker/daemon.json line 3: comma expected' }],
      ['warning: docker cannot be pointed at the node as it is: /etc/docker/daemon.json line 3: comma expected'],
    ],
    [
      'others beside one that does are only noted: the containerd of dockerd, and what does not run',
      [docker, containerd, podman],
      ['good', 'note: containerd is not pointed at the node', 'note: podman is not pointed at the node'],
    ],
    [
      'without one that does they are not',
      [containerd, podman],
      ['warning: containerd is not pointed at the node', 'warning: podman is not pointed at the node'],
    ],
  ]
  test.each(cases)('%s', (_, engines, expected) => {
    expect(said(judgeEngines(engines, mirror))).toEqual(expected)
  })
})

const cluster: ClusterFacts = { files: [], peerHost: '0.0.0.0' }

describe('cluster', () => {
  const key = { path: '/key', fingerprint: 'aaa' }
  const open = 'warning: the cluster is open: it has no key'
  const cases: [string, ClusterFacts, string[]][] = [
    ['open', cluster, [open]],
    ['open, and for this host alone', { ...cluster, peerHost: '127.0.0.1' }, []],
    ['keyed by the settings', { ...cluster, key }, ['good']],
    ['keyed, as the node says', { ...cluster, node: { admission: 'keyed', key: 'aaa' }, key }, ['good']],
    [
      'another key than that in the file',
      { ...cluster, node: { admission: 'keyed', key: 'bbb' }, key },
      ['problem: the node that runs uses the key bbb, and /key has aaa'],
    ],
    [
      'a key that the node was not given',
      { ...cluster, node: { admission: 'open' }, key },
      ['problem: the node that runs has no key, and /key has aaa'],
    ],
    [
      'no key in the file',
      { ...cluster, key: { path: '/key', wrong: '/key is not a cluster key: it is empty' } },
      ['problem: /key is not a cluster key: it is empty'],
    ],
    [
      'files that others read, or write',
      {
        ...cluster,
        key,
        files: [
          { path: '/key', what: 'cluster key', mode: 0o644 },
          { path: '/login', what: 'logins', mode: 0o666 },
          { path: '/token', what: 'admin token', mode: 0o640 },
        ],
      },
      [
        'warning: /key (cluster key): others than its owner may read it',
        'problem: /login (logins): others than its owner may change it',
      ],
    ],
  ]
  test.each(cases)('%s', (_, facts, expected) => {
    expect(said(judgeCluster(facts))).toEqual(expected)
  })
})

const alone: MembersFacts = { reached: new Map(), joins: [], mdns: true }

describe('members', () => {
  const member = (id: string, version = '1.0', self = false): MemberFacts => ({
    id,
    url: `http://10.0.0.${id}:4881`,
    modes: ['peer'],
    version,
    self,
    secondsSinceHeard: 0,
  })
  const self = member('1', '1.0', true)
  const reached = (...failed: string[]) =>
    new Map(
      ['2', '3'].map((id) => {
        const where = `http://10.0.0.${id}:4881`
        return [id, failed.includes(id) ? { where, failed: 'no answer' } : { where }]
      }),
    )
  const three = [self, member('2'), member('3')]
  const silent = { where: '10.0.0.9:4882', failed: 'no answer' }
  const cases: [string, MembersFacts, string[]][] = [
    ['no node, no seed list: nothing to say', alone, []],
    ['alone', { ...alone, members: [self] }, ['note: this node is alone: multicast DNS has found no other']],
    [
      'alone without a way to find others',
      { ...alone, members: [self], mdns: false },
      ['note: this node is alone: it has neither a seed list nor multicast DNS'],
    ],
    ['all within reach', { ...alone, members: three, reached: reached() }, ['good']],
    [
      'one of two is not',
      { ...alone, members: three, reached: reached('3') },
      ['warning: 1 of 2 members do not answer at their peer port: http://10.0.0.3:4881 (no answer)'],
    ],
    [
      'none is',
      { ...alone, members: three, reached: reached('2', '3') },
      [
        'problem: 2 of 2 members do not answer at their peer port: http://10.0.0.2:4881 (no answer), http://10.0.0.3:4881 (no answer)',
      ],
    ],
    ['a node that is to be started finds its seed list', { ...alone, joins: [{ where: '10.0.0.9:4882' }] }, ['good']],
    [
      'or nobody',
      { ...alone, joins: [silent] },
      ['problem: nobody of the seed list answers: 10.0.0.9:4882 (no answer)'],
    ],
    [
      'a seed that is away matters less while others are there',
      { ...alone, members: three, reached: reached(), joins: [silent] },
      ['warning: of the seed list does not answer: 10.0.0.9:4882 (no answer)'],
    ],
    [
      'the seed list answers and is no member: another key, or version',
      { ...alone, members: [self], joins: [{ where: '10.0.0.9:4882' }] },
      ['problem: the seed list answers (10.0.0.9:4882), and none of it is a member'],
    ],
    [
      'other versions',
      { ...alone, members: [self, member('2'), member('3', '2.0')], reached: reached() },
      ['warning: members run different versions: 1.0 on 2, 2.0 on 1'],
    ],
  ]
  test.each(cases)('%s', (_, facts, expected) => {
    expect(said(judgeMembers(facts))).toEqual(expected)
  })
})

describe('sources', () => {
  const hub = { registry: 'docker.io', url: 'https://registry-1.docker.io' }
  test.each([200, 401])('a registry that answers %d is there', (status) => {
    expect(said(judgeSources([{ ...hub, status }], true))).toEqual(['good'])
  })

  test('one that does not is a problem for a seed, and a warning for a peer', () => {
    const failed = 'registry docker.io cannot be used now: its name cannot be resolved; check DNS'
    expect(said(judgeSources([{ ...hub, failed }], true))).toEqual([`problem: ${failed}`])
    expect(said(judgeSources([{ ...hub, failed, proxy: 'proxy:3128' }], false))).toEqual([
      `warning: ${failed} through the proxy proxy:3128`,
    ])
  })

  test.each([
    [{ ...hub, failed: 'it has a certificate that is not trusted' }, 'shoal up --ca-file FILE'],
    [{ ...hub, failed: 'its name cannot be resolved' }, 'getent hosts registry-1.docker.io'],
    [{ ...hub, status: 404 }, 'shoal up --upstream docker.io=URL'],
    [{ ...hub, status: 503 }, 'curl -v https://registry-1.docker.io/v2/'],
  ])('the remedy fits: %p', (facts, remedy) => {
    expect(remedies(judgeSources([facts], true))[0]).toStartWith(remedy)
  })
})
