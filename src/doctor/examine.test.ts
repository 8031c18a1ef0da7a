import { describe, expect, test } from 'bun:test'
import { goodDisk } from '../../test/fakes/findings.ts'
import { FakeNodeView, other } from '../../test/fakes/node-view.ts'
import { examine, type Facts } from './examine.ts'
import { checks } from './finding.ts'
import { renderFindings } from './text.ts'

const view = new FakeNodeView()
const node = { ...view.node(), scrub: { due: 0, damaged: 0 } }
const [self] = view.members()

/** A host on which all is well. */
const well: Facts = {
  own: {
    admin: '127.0.0.1:4883',
    node,
    bans: [],
    service: true,
    addresses: ['10.0.0.7'],
    listenHost: '0.0.0.0',
    build: { version: node.version, commit: node.commit },
  },
  settings: { file: '/etc/shoal/shoal.yaml', problems: [], root: true },
  ports: [{ flag: '--registry-addr', address: { host: '127.0.0.1', port: 4880 }, taken: true }],
  disk: goodDisk,
  witnesses: [{ kind: 'source', name: 'docker.io', ahead: 0.4 }],
  kernel: { release: '6.1', overlay: 'yes', fuse: 'yes', erofs: 'no', fuseDevice: true },
  files: { limit: 1_048_576, ofNode: true, service: true },
  engines: [{ engine: 'docker', running: true, file: '/etc/docker/daemon.json', changes: [], named: true }],
  mirror: 'http://127.0.0.1:4880',
  cluster: { files: [], peerHost: '0.0.0.0', key: { path: '/key', fingerprint: 'abc' } },
  members: {
    members: [self!, { ...self!, id: other, url: 'http://10.0.0.8:4881', self: false }],
    reached: new Map([[other, { where: 'http://10.0.0.8:4881' }]]),
    joins: [],
    mdns: true,
  },
  sources: [{ registry: 'docker.io', url: 'https://registry-1.docker.io', status: 401 }],
  seed: true,
}
const keyed = { ...node, cluster: { admission: 'keyed' as const, key: 'abc' } }
const loopback = { ...keyed, addresses: { ...keyed.addresses, peer: 'http://127.0.0.1:4881' } }
const fine: Facts = {
  ...well,
  own: { ...well.own, node: keyed },
  cluster: { ...well.cluster, node: keyed.cluster },
}

test('what containerd keeps and the node may not read is told, with how to show it to the service', () => {
  const path = '/data/containerd/io.containerd.content.v1.content/blobs/sha256'
  const noted = (trouble: string, service = true) => {
    const engine = { folders: [{ path, trouble }] }
    const findings = examine({ ...fine, own: { ...fine.own, service, node: { ...keyed, engine } } })
    return findings.filter(({ what }) => what.includes('containerd keeps'))
  }
  const [found] = noted(`EACCES: permission denied, stat '${path}'`)
  expect(found).toMatchObject({
    level: 'note',
    what: 'the node may not read what containerd keeps in /data/containerd',
  })
  expect(found?.remedy).toStartWith('shoal install --engine-content /data/containerd ')
  expect(noted('EACCES: permission denied', false)[0]?.remedy).toContain('as root')
  // An engine that is told to keep no layers, or that has none yet.
  expect(noted('/etc/containerd/config.toml has discard_unpacked_layers')).toEqual([])
  expect(noted('ENOENT: no such file or directory')).toEqual([])
})

test('of a host on which all is well each check says so', () => {
  const findings = examine(fine)
  expect(findings.filter(({ level }) => level !== 'good' && level !== 'note')).toEqual([])
  expect(findings.map(({ check }) => check)).toEqual([...checks])
})

describe('a node that', () => {
  const judged = (own: Partial<Facts['own']>) =>
    examine({ ...fine, own: { ...fine.own, ...own } })
      .filter(({ check, level }) => check === 'node' && level !== 'good')
      .map(({ level, what }) => `${level}: ${what}`)

  test.each<[string, Partial<Facts['own']>, string]>([
    [
      'is not ready says why',
      { node: { ...keyed, notReady: ['the store is full'] } },
      'problem: the node is not ready: the store is full',
    ],
    [
      'has no room says for what',
      { node: { ...keyed, store: { ...keyed.store, trouble: 'no room for a' } } },
      'warning: the store could not take something within the last minute: no room for a',
    ],
    [
      'does not reach the state says why',
      { node: { ...keyed, state: { where: 'postgres://shoal@db/shoal', trouble: 'nothing listens there' } } },
      'problem: the state of the cluster is out of reach: nothing listens there',
    ],
    [
      'owes a backend what was pushed says for how long',
      { node: { ...keyed, owed: { waiting: 3, oldestSeconds: 900 } } },
      'warning: 3 that were pushed are not at their backend yet, the oldest for 900 s',
    ],
    [
      'is older than the program that asks was not started again',
      { build: { version: '2.0.0', commit: 'fff' } },
      'warning: the node is 1.2.3 (abcdef012345), and this program 2.0.0 (fff)',
    ],
    [
      'found rot has a disk to be looked at',
      { node: { ...keyed, scrub: { due: 0, damaged: 2 } } },
      'warning: 2 pieces that were stored came back wrong from the disk',
    ],
    [
      'bans others names them',
      { bans: [{ node: other, reason: 'sent wrong bytes', until: '2026-01-01T00:00:00.000Z' }] },
      `note: this node leaves alone: ${other} (sent wrong bytes)`,
    ],
    [
      'announces an address that its host does not have may be behind address translation',
      { addresses: ['192.168.0.2'] },
      'note: others are told to reach this node at 10.0.0.7, which is no address of this host',
    ],
    [
      'announces what leads others to themselves',
      { node: loopback },
      'warning: others are told to reach this node at 127.0.0.1, which is themselves',
    ],
  ])('%s', (_, own, expected) => {
    expect(judged(own)).toEqual([expected])
  })

  test('has a disk that is broken is not told to make room', () => {
    const remedies = (broken: boolean) => {
      const store = { ...keyed.store, trouble: 'x', ...(broken ? { broken } : {}) }
      const findings = examine({ ...fine, own: { ...fine.own, node: { ...keyed, store } } })
      return findings.filter(({ level }) => level === 'warning').map(({ remedy }) => remedy?.split(' ')[0])
    }
    expect([remedies(true), remedies(false)]).toEqual([['dmesg'], ['shoal']])
  })

  test('leaves others alone is asked to stop it where the doctor asked, with the token it was asked with', () => {
    const remedy = (own: Partial<Facts['own']>) => {
      const bans = [{ node: other, reason: 'x', until: '2026-01-01T00:00:00.000Z' }]
      const addresses = { ...keyed.addresses, admin: '0.0.0.0:4883' }
      const findings = examine({ ...fine, own: { ...fine.own, node: { ...keyed, addresses }, bans, ...own } })
      return findings.find(({ what }) => what.includes('leaves alone'))?.remedy?.split('   #')[0]
    }
    const url = 'http://127.0.0.1:4883/api/v1/bans/NODE'
    expect(remedy({})).toBe(`curl -X DELETE ${url}`)
    expect(remedy({ tokenFile: '/t' })).toBe(`curl -X DELETE -H "Authorization: Bearer $(cat /t)" ${url}`)
  })

  test('reaches its state, and brings backends what was just pushed, is in order', () => {
    const state = { where: '/var/lib/shoal/state.db' }
    expect(judged({ node: { ...keyed, state, owed: { waiting: 3, oldestSeconds: 5 } } })).toEqual([])
    expect(judged({ node: { ...keyed, state, owed: { waiting: 0, oldestSeconds: 0 } } })).toEqual([])
  })

  test('is meant for its own host alone where it listens there alone', () => {
    const own = { ...fine.own, node: loopback, listenHost: '127.0.0.1' }
    expect(examine({ ...fine, own }).filter(({ what }) => what.includes('are told'))).toEqual([])
  })

  test('does not run is a problem where it is a service, and noted where none was installed', () => {
    const { node: _, ...own } = fine.own
    const without = (service: boolean) =>
      examine({ ...fine, own: { ...own, service } }).find(({ check }) => check === 'node')?.level
    expect([without(true), without(false)]).toEqual(['problem', 'note'])
  })
})

test('settings that are wrong are a problem, and a file that this user may not read is noted', () => {
  const judged = (root: boolean) =>
    examine({
      ...fine,
      settings: { problems: ['--zone "x y": expected a zone', '"/key": this user may not read it; run as root'], root },
    })
      .filter(({ check }) => check === 'settings')
      .map(({ level }) => level)
  expect([judged(true), judged(false)]).toEqual([
    ['problem', 'problem'],
    ['problem', 'note'],
  ])
})

test('whatever is wrong is said with why it matters and what to do', () => {
  const findings = examine({
    ...well,
    own: { ...well.own, node: { ...node, notReady: ['x'] }, build: { version: '2', commit: 'f' } },
    settings: { problems: ['x'], root: true },
    ports: [{ ...well.ports[0]!, taken: false }],
    disk: { ...well.disk, mount: { ...well.disk.mount, readOnly: true } },
    witnesses: [{ kind: 'source', name: 'docker.io', ahead: 900 }],
    files: { limit: 1024, ofNode: true, service: true },
    engines: [{ ...well.engines[0]!, changes: ['/x'], named: false }],
    cluster: { files: [{ path: '/key', what: 'cluster key', mode: 0o666 }], peerHost: '0.0.0.0' },
    members: { ...well.members, reached: new Map([[other, { where: 'x', failed: 'no answer' }]]) },
    sources: [{ ...well.sources[0]!, status: 503 }],
  })
  const wrong = findings.filter(({ level }) => level === 'warning' || level === 'problem')
  expect(new Set(wrong.map(({ check }) => check))).toEqual(new Set(checks.filter((check) => check !== 'kernel')))
  for (const { why, remedy } of wrong) {
    expect([why, remedy]).toEqual([expect.stringMatching(/\S/), expect.stringMatching(/\S/)])
  }
})

test.each([true, false])(
  'with the service there nobody is sent to start a node by hand, and without it not to the service: %p',
  (service) => {
    const { node: _, ...ownAlone } = fine.own
    const peer = { flag: '--peer-addr', address: { host: '127.0.0.1', port: 4881 }, taken: true }
    const hub = well.sources[0]!
    const wrong: Facts[] = [
      { ...fine, own: { ...ownAlone } },
      { ...fine, own: { ...fine.own, node: keyed, addresses: ['192.168.0.2'], build: { version: '2', commit: 'f' } } },
      { ...fine, settings: { problems: ['x'], root: true } },
      { ...fine, ports: [peer] },
      { ...fine, own: ownAlone, ports: [peer] },
      { ...fine, disk: { ...goodDisk, writable: false } },
      { ...fine, disk: { ...goodDisk, limit: 1 } },
      { ...fine, disk: { ...goodDisk, mount: { ...goodDisk.mount, kind: 'nfs' } } },
      { ...fine, members: { ...fine.members, members: [self!] } },
      { ...fine, members: { ...fine.members, joins: [{ where: 'x', failed: 'no answer' }] } },
      { ...fine, cluster: { ...fine.cluster, key: { path: '/key', fingerprint: 'other' } } },
      { ...fine, sources: [{ ...hub, status: 404 }] },
      { ...fine, sources: [{ registry: 'r', url: 'https://r', failed: 'its certificate is not trusted' }] },
    ]
    const told = wrong.map((facts) =>
      examine({ ...facts, own: { ...facts.own, service } })
        .filter(({ level }) => level !== 'good')
        .map(({ remedy = '' }) => remedy)
        .join('\n'),
    )
    expect(told.every((text) => text.trim() !== '')).toBe(true)
    expect(told.filter((text) => text.includes(service ? 'shoal up' : 'systemctl'))).toEqual([])
  },
)

test('for people a finding is a line, with why and what to do below it, and a count at the end', () => {
  const findings = examine({ ...fine, sources: [{ ...fine.sources[0]!, status: 404 }] })
  const text = renderFindings(findings.filter(({ check }) => check === 'sources' || check === 'disk'))
  expect(text).toMatchInlineSnapshot(`
    "ok    disk      /var/lib/shoal: 60 GiB free of 100 GiB (ext4), 48 GiB for blobs
    FAIL  sources   docker.io answers 404 at https://registry-1.docker.io
                    why:  a seed that cannot read a registry brings nothing of it into the cluster
                    mend: shoal install --upstream docker.io=URL   # where its /v2/ is

    1 problem, 0 warnings, 0 notes, 1 in order"
  `)
})
