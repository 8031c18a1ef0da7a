/** Longer than most: the tables of exact answers belong in one place, where a change of words shows. */
import { describe, expect, test } from 'bun:test'
import type { Flags, Variables } from './given.ts'
import type { Host } from './host.ts'
import { load, loadOne } from './load.ts'
import { ConfigError } from './problem.ts'
import { stateUrlExpected } from './state-url.ts'
import { names, table } from './table.ts'

const GiB = 1024 ** 3
const token = 'correct-horse-battery'

function hostWith(files: Record<string, string> = {}, changes: Partial<Host> = {}): Host {
  return {
    root: true,
    home: '/root',
    terminal: false,
    color: false,
    exists: (path) => Object.hasOwn(files, path),
    absent: (path) => !Object.hasOwn(files, path),
    read(path) {
      const text = files[path]
      if (text === undefined) throw Object.assign(new Error(`ENOENT: ${path}`), { code: 'ENOENT' })
      return text
    },
    space: () => ({ free: 100 * GiB, held: 0 }),
    ...changes,
  }
}

function problemsOf(flags: Flags, variables: Variables, host: Host): readonly string[] {
  try {
    load(flags, variables, host)
    return []
  } catch (error) {
    if (error instanceof ConfigError) return error.problems
    throw error
  }
}

const file = '/etc/shoal/shoal.yaml'

describe('settings', () => {
  test('are the documented defaults where nothing is said', () => {
    const { settings, file: read } = load({}, {}, hostWith())
    expect(read).toBeUndefined()
    expect(settings).toEqual({
      node: { modes: ['peer', 'seed', 'scheduler'], dataDir: '/var/lib/shoal' },
      store: {
        dataDir: '/var/lib/shoal',
        scrubEveryMs: 604_800_000,
        keep: [],
        keepFree: { share: 0.01 },
        cacheBytes: 80 * GiB,
      },
      registry: { address: { host: '127.0.0.1', port: 4880 }, loginsFor: 'root' },
      keeping: { write: 'through', credentialsFiles: ['/root/.aws/credentials'] },
      replication: { rules: [] },
      home: { patterns: [] },
      peer: { address: { host: '0.0.0.0', port: 4881 } },
      p2p: { address: { host: '0.0.0.0', port: 4882 }, join: [], mdns: true },
      admin: { address: { host: '127.0.0.1', port: 4883 } },
      source: {
        credentialsFiles: ['/root/.docker/config.json'],
        upstreams: [{ registry: 'docker.io', url: 'https://registry-1.docker.io' }],
        onlyListed: false,
        tagTtlMs: 60_000,
      },
      engine: { content: 'auto' },
      lazy: { layerIndex: 'auto' },
      limits: {},
      cluster: { encrypt: false },
      state: { tagHistoryMs: 90 * 86_400_000 },
      trace: {},
      log: { level: 'info', format: 'json', color: false },
    })
  })

  test('depend on who runs the node, and where', () => {
    const host = hostWith({ '/home/ann/.docker/config.json': '{}' }, { root: false, home: '/home/ann', terminal: true })
    const { settings } = load({}, {}, host)
    expect(settings.node.dataDir).toBe('/home/ann/.local/share/shoal')
    expect(settings.source.credentialsFiles).toEqual(['/home/ann/.docker/config.json'])
    expect(settings.log.format).toBe('text')
  })

  test('of logins and keys are the places where they may come to be, whether anything is there or not', () => {
    const filesOf = (flags: Flags, host: Host) => {
      const { source, keeping } = load(flags, {}, host).settings
      return [source.credentialsFiles, keeping.credentialsFiles]
    }
    const ann = { root: false, home: '/home/ann', service: { credentials: '/run/c' } }
    expect(filesOf({}, hostWith({}, ann))).toEqual([
      ['/run/c/docker.json', '/home/ann/.docker/config.json'],
      ['/run/c/aws', '/home/ann/.aws/credentials'],
    ])
    expect(filesOf({}, hostWith({}, { home: '/srv' }))[0]).toEqual([
      '/srv/.docker/config.json',
      '/root/.docker/config.json',
    ])
    const named = { 'credentials-file': ['/l.json'], 'home-credentials-file': ['/k'] }
    expect(filesOf(named, hostWith({ '/l.json': '{}', '/k': '' }))).toEqual([['/l.json'], ['/k']])
  })

  test('come from the flag before the variable before the file', () => {
    const host = hostWith({ [file]: 'zone: file/z\ntag-ttl: 1m\ncache-ttl: 7d\n' })
    const { settings, file: read } = load({ zone: ['flag/z'] }, { SHOAL_ZONE: 'env/z', SHOAL_TAG_TTL: '2m' }, host)
    expect(read).toBe(file)
    expect(settings.node.zone).toBe('flag/z')
    expect(settings.source.zone).toBeUndefined()
    expect(load({ 'source-zone': ['eu/a'] }, {}, host).settings.source.zone).toBe('eu/a')
    expect(settings.source.tagTtlMs).toBe(120_000)
    expect(settings.store.cacheTtlMs).toBe(7 * 86_400_000)
  })

  test('of a list are all from one place, not gathered from several', () => {
    const host = hostWith({ [file]: 'join: [a, b]\n' })
    expect(load({}, {}, host).settings.p2p.join).toEqual(['/dns/a/tcp/4882', '/dns/b/tcp/4882'])
    expect(load({ join: ['c'] }, {}, host).settings.p2p.join).toEqual(['/dns/c/tcp/4882'])
    expect(load({}, { SHOAL_JOIN: 'd,10.0.0.1:5' }, host).settings.p2p.join).toEqual([
      '/dns/d/tcp/4882',
      '/ip4/10.0.0.1/tcp/5',
    ])
  })

  test('cannot be changed afterwards, at any depth', () => {
    const { settings } = load({ join: ['a'] }, {}, hostWith())
    for (const part of [settings, settings.registry.address, settings.p2p.join, settings.source.upstreams[0]!]) {
      expect(Object.isFrozen(part)).toBe(true)
    }
  })

  test('have defaults that are themselves valid', () => {
    for (const name of names) {
      expect(() => loadOne(name, {}, {}, hostWith())).not.toThrow()
      expect(table[name].help).not.toBe('')
    }
  })

  test('name modes in one order, once', () => {
    expect(load({ mode: ['scheduler,seed', 'seed'] }, {}, hostWith()).settings.node.modes).toEqual([
      'seed',
      'scheduler',
    ])
    expect(load({}, { SHOAL_MODE: 'peer' }, hostWith()).settings.node.modes).toEqual(['peer'])
  })

  test('take another config file from --config', () => {
    const host = hostWith({ '/x.yaml': 'mode: [seed, peer]\nmdns: off\nlog-level: &level debug\n' })
    const { settings, file: read } = load({ config: ['/x.yaml'] }, {}, host)
    expect(read).toBe('/x.yaml')
    expect(settings.node.modes).toEqual(['peer', 'seed'])
    expect(settings.p2p.mdns).toBe(false)
    expect(settings.log.level).toBe('debug')
  })

  test('read an empty file, or one of comments, as nothing said', () => {
    for (const text of ['', '# nothing\n', '---\n']) expect(problemsOf({}, {}, hostWith({ [file]: text }))).toEqual([])
  })

  test('count an empty variable as not set', () => {
    expect(load({}, { SHOAL_ZONE: '' }, hostWith()).settings.node.zone).toBeUndefined()
  })

  test('leave alone the variables that Kubernetes makes for a service called shoal', () => {
    const links = {
      SHOAL_SERVICE_HOST: '10.1.1.1',
      SHOAL_SERVICE_PORT_MIRROR: '4880',
      SHOAL_PORT: 'tcp://10.1.1.1:4880',
      SHOAL_PORT_4880_TCP_ADDR: '10.1.1.1',
    }
    expect(problemsOf({}, { ...links, KUBERNETES_SERVICE_HOST: '10.1.0.1' }, hostWith())).toEqual([])
    expect(problemsOf({}, links, hostWith())).toHaveLength(4)
  })
})

describe('the cache', () => {
  test('may take a share of what is free and of what it holds already, so that a restart evicts nothing', () => {
    const host = hostWith({}, { space: () => ({ free: 20 * GiB, held: 80 * GiB }) })
    expect(load({}, {}, host).settings.store.cacheBytes).toBe(80 * GiB)
  })

  test('is measured where the data directory is', () => {
    const asked: string[] = []
    const host = hostWith({}, { space: (dir) => ({ free: asked.push(dir), held: 0 }) })
    load({ 'data-dir': ['/data'] }, {}, host)
    expect(asked).toEqual(['/data'])
  })

  test('of a given size does not ask the file system', () => {
    const space = () => {
      throw new Error('asked')
    }
    expect(load({ 'cache-size': ['20GiB'] }, {}, hostWith({}, { space })).settings.store.cacheBytes).toBe(20 * GiB)
  })
})

describe('upstreams', () => {
  const upstreams = (flags: Flags, text = '') => load(flags, {}, hostWith({ [file]: text })).settings.source.upstreams

  test('keep Docker Hub where it is when another registry is added', () => {
    expect(upstreams({ upstream: ['ghcr.io=http://10.0.0.1:5000/'] })).toEqual([
      { registry: 'docker.io', url: 'https://registry-1.docker.io' },
      { registry: 'ghcr.io', url: 'http://10.0.0.1:5000' },
    ])
  })

  test('are all there are when only those listed may be used', () => {
    expect(upstreams({ upstream: ['ghcr.io=https://ghcr.io'], 'only-listed-upstreams': ['true'] })).toEqual([
      { registry: 'ghcr.io', url: 'https://ghcr.io' },
    ])
  })

  test('are a map or a list in the file', () => {
    const map = upstreams({}, 'upstream:\n  docker.io: http://hub.corp\n  quay.io: https://q.corp/v2/quay\n')
    const list = upstreams({}, 'upstream:\n  - docker.io=http://hub.corp\n  - quay.io=https://q.corp/v2/quay\n')
    expect(map).toEqual([
      { registry: 'docker.io', url: 'http://hub.corp' },
      { registry: 'quay.io', url: 'https://q.corp/v2/quay' },
    ])
    expect(list).toEqual(map)
  })

  test('may have several places for one registry, which are kept in their order', () => {
    const both = [
      { registry: 'docker.io', url: 'https://harbor.corp/v2/hub' },
      { registry: 'docker.io', url: 'https://registry-1.docker.io' },
    ]
    expect(upstreams({ upstream: both.map(({ registry, url }) => `${registry}=${url}`) })).toEqual(both)
    expect(upstreams({}, `upstream:\n  docker.io: [${both.map(({ url }) => url).join(', ')}]\n`)).toEqual(both)
  })
})

test('a node that tells others an IPv6 address listens for it, unless it was given one address to listen on', () => {
  const hosts = (flags: Flags, variables: Variables = {}) => {
    const { peer, p2p } = load(flags, variables, hostWith()).settings
    return [peer.address.host, p2p.address.host]
  }
  expect(hosts({ advertise: ['2001:db8::7'] })).toEqual(['::', '::'])
  // As pods are told theirs.
  expect(hosts({}, { SHOAL_ADVERTISE: 'fd00::7' })).toEqual(['::', '::'])
  expect(hosts({ advertise: ['[2001:db8::7]'], 'peer-addr': ['10.0.0.7:4881'] })).toEqual(['10.0.0.7', '::'])
  expect(hosts({ advertise: ['10.0.0.7'] })).toEqual(['0.0.0.0', '0.0.0.0'])
  expect(hosts({ advertise: ['node.corp'] })).toEqual(['0.0.0.0', '0.0.0.0'])
})

test('an admin port for others comes with its token, which does not print', () => {
  const host = hostWith({ '/t': `${token}\n` })
  const { settings } = load({ 'admin-addr': ['0.0.0.0:4883'], 'admin-token-file': ['/t'] }, {}, host)
  expect(settings.admin.token?.reveal()).toBe(token)
  expect(settings.admin.tokenFile).toBe('/t')
  expect(JSON.stringify(settings)).not.toContain(token)
})

describe('what is wrong is answered exactly', () => {
  const size = 'expected a size such as 20GiB or 500MB, or a share of the free space such as 80%'
  const address = 'expected an address such as 127.0.0.1:4880, [::1]:4880 or localhost:0 (0: any free port)'
  const upstream = 'expected NAME=URL such as ghcr.io=https://ghcr.io (credentials belong in --credentials-file)'
  const needsToken =
    'others than this host can reach that address; give --admin-token-file too, or choose a loopback address'
  const rate = 'expected a rate such as 100MB/s or 100Mbit/s'

  const flags: [Flags, string][] = [
    [{ mode: ['pear'] }, '--mode "pear": expected all, peer, seed or scheduler'],
    [{ mode: ['peer,'] }, '--mode "": expected all, peer, seed or scheduler'],
    [{ 'cache-size': ['20 potatoes'] }, `--cache-size "20 potatoes": ${size}`],
    [{ 'cache-size': ['101%'] }, `--cache-size "101%": ${size}`],
    [{ 'cache-ttl': ['10s'] }, '--cache-ttl "10s": expected a duration of a minute or more, such as 24h or 7d'],
    [{ 'tag-ttl': ['60'] }, '--tag-ttl "60": expected a duration such as 60s, 90m, 24h or 7d'],
    [{ 'download-rate': ['100Mb/s'] }, `--download-rate "100Mb/s": ${rate}`],
    [{ 'registry-addr': ['4880'] }, `--registry-addr "4880": ${address}`],
    [{ 'p2p-addr': ['::1:4882'] }, `--p2p-addr "::1:4882": ${address}`],
    [
      { advertise: ['10.0.0.7:4881'] },
      '--advertise "10.0.0.7:4881": expected a host name or an IP address without a port',
    ],
    [
      { join: ['seed-1', '/ip4/1.2.3.4/udp/9'] },
      '--join "/ip4/1.2.3.4/udp/9": expected host, host:port (of the libp2p address), or a multiaddr such as /ip4/10.0.0.7/tcp/4882',
    ],
    [{ upstream: ['ghcr.io'] }, `--upstream "ghcr.io": ${upstream}`],
    [{ upstream: ['g.io=https://me:pw@g.io'] }, `--upstream "g.io=https://[redacted]@g.io": ${upstream}`],
    [
      { state: ['postgres://shoal:pw@db/images'] },
      `--state "postgres://[redacted]@db/images": expected ${stateUrlExpected}`,
    ],
    [{ 'state-ca-file': ['/short'] }, '--state-ca-file: it is for --state, which is not given'],
    [{ upstream: ['g.io=http://a', 'g.io=http://b', 'g.io=http://a/'] }, '--upstream: g.io=http://a is listed twice'],
    [
      { upstream: Array.from({ length: 9 }, (_, i) => `g.io=http://h${i}`) },
      '--upstream: g.io is listed at more than 8 places',
    ],
    [{ zone: ['a/b/c/d'] }, '--zone "a/b/c/d": expected region/zone/rack, or the first one or two of them'],
    [{ 'log-level': ['loud'] }, '--log-level "loud": expected debug, info, warn or error'],
    [{ 'log-format': ['xml'] }, '--log-format "xml": expected text or json'],
    [{ config: ['/none.yaml'] }, '--config "/none.yaml": there is no such file'],
    [{ 'cluster-key-file': ['/none'] }, '--cluster-key-file "/none": there is no such file'],
    [{ 'credentials-file': ['/none'] }, '--credentials-file "/none": there is no such file'],
    [{ 'ca-file': ['/none'] }, '--ca-file "/none": there is no such file'],
    [{ 'admin-addr': ['0.0.0.0:4883'] }, `--admin-addr "0.0.0.0:4883": ${needsToken}`],
    [{ 'admin-addr': ['[::]:0'] }, `--admin-addr "[::]:0": ${needsToken}`],
    [
      { 'admin-token-file': ['/short'] },
      '--admin-token-file "/short": expected one line with a token of 16 or more letters, digits or -._~+/ in it',
    ],
    [
      { 'admin-addr': ['127.0.0.1:4881'] },
      '--admin-addr "127.0.0.1:4881": --peer-addr has that port already; each needs its own',
    ],
    ...['[::1]', 'localhost'].map((host): [Flags, string] => [
      { 'admin-addr': [`${host}:4880`] },
      `--admin-addr "${host}:4880": --registry-addr has that port already; each needs its own`,
    ]),
  ]
  test.each(flags)('flags %j', (given, answer) => {
    expect(problemsOf(given, {}, hostWith({ '/short': 'abc\n' }))).toEqual([answer])
  })

  const variables: [Variables, string][] = [
    [{ SHOAL_CACHE_SIZ: '1' }, 'SHOAL_CACHE_SIZ: there is no such variable; did you mean SHOAL_CACHE_SIZE?'],
    [{ SHOAL_WIBBLE: '1' }, 'SHOAL_WIBBLE: there is no such variable; `shoal up --help` lists what there is'],
    [{ SHOAL_MDNS: 'maybe' }, 'SHOAL_MDNS "maybe": expected true or false'],
    [{ SHOAL_UPLOAD_RATE: 'fast' }, `SHOAL_UPLOAD_RATE "fast": ${rate}`],
    [{ SHOAL_ADMIN_ADDR: '10.0.0.7:1' }, `SHOAL_ADMIN_ADDR "10.0.0.7:1": ${needsToken}`],
    [{ SHOAL_CONFIG: '/none' }, 'SHOAL_CONFIG "/none": there is no such file'],
  ]
  test.each(variables)('variables %j', (given, answer) => {
    expect(problemsOf({}, given, hostWith())).toEqual([answer])
  })

  const files: [string, string][] = [
    ['cahce-size: 3', 'there is no setting "cahce-size"; did you mean cache-size?'],
    ['config: /x', 'there is no setting "config"; `shoal up --help` lists what there is'],
    ['cache-size: lots', `cache-size "lots": ${size}`],
    ['zone:', 'zone: expected one value'],
    ['zone: [a, b]', 'zone: expected one value'],
    ['join: { a: b }', 'join: expected one value or a list of values'],
    [
      'join: [a, /ip4/1.2.3.4]',
      'join "/ip4/1.2.3.4": expected host, host:port (of the libp2p address), or a multiaddr such as /ip4/10.0.0.7/tcp/4882',
    ],
    ['upstream: { a.io: [[1]] }', 'upstream: expected a map of NAME: URL, or a list of NAME=URL'],
    ['upstream: { a.io: [] }', 'upstream: expected a map of NAME: URL, or a list of NAME=URL'],
    ['upstream: { a.io: [1] }', `upstream "a.io=1": ${upstream}`],
    ['upstream: { a.io: ftp://a.io }', `upstream "a.io=ftp://a.io": ${upstream}`],
    ['tag-ttl: 1s\ntag-ttl: 2s', 'Map keys must be unique'],
    ['- zone', 'expected a map of settings, such as "zone: eu/a"'],
  ]
  test.each(files)('file %j', (text, answer) => {
    // The line counted is that of the mistake, here the third; that of a repeated key is the fourth.
    const line = text.includes('\n') ? 4 : 3
    expect(problemsOf({}, {}, hostWith({ [file]: `# settings\n\n${text}\n` }))).toEqual([`${file}:${line}: ${answer}`])
  })

  test('all of it at once, wherever it was said', () => {
    const host = hostWith({ [file]: 'zone: "a b"\nnope: 1\n' })
    expect(problemsOf({ mode: ['x'] }, { SHOAL_X: '1' }, host)).toEqual([
      'SHOAL_X: there is no such variable; `shoal up --help` lists what there is',
      `${file}:2: there is no setting "nope"; \`shoal up --help\` lists what there is`,
      '--mode "x": expected all, peer, seed or scheduler',
      `${file}:1: zone "a b": expected region/zone/rack, or the first one or two of them`,
    ])
  })

  test('a file that may not be read, or is none', () => {
    for (const [code, reason] of [
      ['EACCES', 'this user may not read it'],
      ['EISDIR', 'it is a directory'],
    ] as const) {
      const read = () => {
        throw Object.assign(new Error(code), { code })
      }
      expect(problemsOf({ config: ['/x'] }, {}, hostWith({}, { read }))).toEqual([`--config "/x": ${reason}`])
    }
  })
})

test('the usual file counts unless it is sure that there is none: one that cannot be looked at stops the start', () => {
  const denied = () => {
    throw Object.assign(new Error('EACCES'), { code: 'EACCES' })
  }
  // As of a service whose user may not enter /etc/shoal.
  const [problem, ...more] = problemsOf({}, {}, hostWith({}, { absent: () => false, read: denied }))
  expect(problem).toStartWith(`default of config "${file}": this user may not read it; run as root, `)
  expect(more).toEqual([])
  expect(problemsOf({}, {}, hostWith({}, { absent: () => true, read: denied }))).toEqual([])
})

test('a command that needs one setting is not bothered by the others', () => {
  expect(loadOne('admin-addr', {}, { SHOAL_ADMIN_ADDR: 'node-1:4883', SHOAL_WRONG: 'x' }, hostWith())).toEqual({
    host: 'node-1',
    port: 4883,
  })
  expect(() => loadOne('admin-addr', { 'admin-addr': ['x'] }, {}, hostWith())).toThrow(ConfigError)
})
