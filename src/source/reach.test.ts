import { describe, expect, test } from 'bun:test'
import { BlockList } from 'node:net'
import { FakeClock } from '../../test/fakes/clock.ts'
import { outsidePlaceOf } from './places.ts'
import { Reach, type ReachOptions } from './reach.ts'
import type { Upstream } from './upstreams.ts'

const names: Record<string, string[]> = {
  'ghcr.io': ['140.82.112.33'],
  'rebound.example': ['93.184.215.14', '127.0.0.1'],
  'metadata.example': ['::ffff:169.254.169.254'],
  'cdn.example': ['93.184.215.14', '2606:2800:220:1::1'],
  'on-host.corp': ['127.0.0.1'],
  'registry.corp': ['10.0.0.7', '10.0.0.8'],
}

const upstreamAt = (origin: string, listed = false): Upstream => {
  return { registry: 'r.example', base: `${origin}/v2`, root: `${origin}/v2/`, account: 'r.example', origin, listed }
}

function setUp(options: ReachOptions = {}) {
  const clock = new FakeClock()
  const asked: string[] = []
  const lookup = async (host: string) => {
    asked.push(host)
    return names[host] ?? []
  }
  const choose = async (addresses: readonly string[]) => addresses[0]
  const reach = new Reach(clock, {
    lookup,
    choose,
    proxy: () => undefined,
    own: async () => new BlockList(),
    ...options,
  })
  const address = (origin: string, url: string, listed = false) =>
    reach.check(upstreamAt(origin, listed), new URL(url)).then(({ address }) => address)
  const allowed = (origin: string, url: string, listed = false) =>
    address(origin, url, listed).then(
      () => true,
      (error) => {
        expect(error).toMatchObject({ code: 'not-listed', message: expect.stringContaining('--upstream') })
        return false
      },
    )
  return { clock, asked, reach, address, allowed }
}

describe('a registry that nobody listed', () => {
  test.each([
    'https://127.0.0.1:4883/v2/',
    'https://localhost:4883/v2/',
    'https://localhost./v2/',
    'https://a.localhost/v2/',
    'https://[::1]/v2/',
    'https://[::ffff:127.0.0.1]/v2/',
    'https://2130706433/v2/',
    'https://0x7f.1/v2/',
    'https://0177.0.0.1/v2/',
    'https://127.1/v2/',
    'https://0/v2/',
    'https://0.0.0.0:4883/v2/',
    'https://[::]/v2/',
    'https://[::ffff:7f00:1]/v2/',
    'https://[::ffff:169.254.169.254]/v2/',
    'https://[fe80::1]/v2/',
    'https://0xa9fea9fe/v2/',
    'https://LOCALHOST/v2/',
    'https://on-host.corp./v2/',
    'https://169.254.169.254/v2/',
    'https://rebound.example/v2/',
    'https://metadata.example/v2/',
  ])('is not asked at %s', async (url) => {
    expect(await setUp().allowed(new URL(url).origin, url)).toBe(false)
  })

  test.each(['https://ghcr.io/v2/', 'https://10.0.0.7:5000/v2/', 'https://registry.corp/v2/'])(
    'is asked at %s',
    async (url) => {
      expect(await setUp().allowed(new URL(url).origin, url)).toBe(true)
    },
  )

  test('may redirect to a network of others, not to this host', async () => {
    const { allowed } = setUp()
    expect(await allowed('https://ghcr.io', 'https://cdn.example/blob')).toBe(true)
    expect(await allowed('https://ghcr.io', 'https://on-host.corp/blob')).toBe(false)
    expect(await allowed('https://ghcr.io', 'http://169.254.169.254/latest/meta-data')).toBe(false)
  })
})

describe("an address of this host's own", () => {
  const names: Record<string, string[]> = {
    'node.corp': ['10.0.0.7'],
    'rebound.example': ['93.184.215.14', 'fd12:3456::7'],
  }
  const list = new BlockList()
  list.addAddress('10.0.0.7', 'ipv4')
  list.addAddress('fd12:3456::7', 'ipv6')
  const own = async () => list
  const setUpOwn = (options: ReachOptions = {}) =>
    setUp({ lookup: async (host) => names[host] ?? ['93.184.215.14'], own, ...options })

  test.each([
    'https://10.0.0.7:10250/v2/',
    'https://[::ffff:10.0.0.7]/v2/',
    'https://[fd12:3456::7]/v2/',
    'https://node.corp/v2/',
    'https://rebound.example/v2/',
  ])('is not asked for a registry that nobody listed: %s', async (url) => {
    const { allowed } = setUpOwn()
    expect(await allowed(new URL(url).origin, url)).toBe(false)
    expect(await allowed('https://ghcr.io', url)).toBe(false)
  })

  test('is this host as loopback is, for files as well', async () => {
    const url = new URL('https://10.0.0.7/v2/')
    const asked = (options: ReachOptions) => setUpOwn(options).reach.check(upstreamAt('https://10.0.0.7'), url)
    await expect(asked({})).rejects.toThrow('leads to 10.0.0.7, which is this host; add --upstream')
    await expect(asked({ placeOf: outsidePlaceOf })).rejects.toThrow('which is this host')
  })

  test('is asked where it is listed, and for a listed registry on this host', async () => {
    const { allowed } = setUpOwn()
    expect(await allowed('http://10.0.0.7:5000', 'http://10.0.0.7:5000/v2/', true)).toBe(true)
    expect(await allowed('http://127.0.0.1:5000', 'http://10.0.0.7:9000/bucket', true)).toBe(true)
    expect(await allowed('http://10.0.0.8:5000', 'http://10.0.0.7:9000/bucket', true)).toBe(false)
  })

  test('is looked for again a minute later', async () => {
    const lists = [new BlockList(), list]
    const { allowed, clock } = setUpOwn({ own: async () => lists.shift()! })
    const ask = () => allowed('https://10.0.0.7', 'https://10.0.0.7/v2/')
    expect(await ask()).toBe(true)
    clock.advance(59_999)
    expect(await ask()).toBe(true)
    clock.advance(30_000)
    expect(await ask()).toBe(false)
  })
})

describe('a listed registry', () => {
  test('is asked wherever it is, without a question to DNS', async () => {
    const { allowed, asked } = setUp()
    expect(await allowed('http://127.0.0.1:5000', 'http://127.0.0.1:5000/v2/', true)).toBe(true)
    expect(await allowed('http://169.254.1.1', 'http://169.254.1.1/v2/', true)).toBe(true)
    expect(asked).toEqual([])
  })

  test('may redirect to the kind of place that it is at itself, and to no other such place', async () => {
    const { allowed } = setUp()
    expect(await allowed('http://127.0.0.1:5000', 'http://localhost:9000/bucket', true)).toBe(true)
    expect(await allowed('http://on-host.corp', 'http://127.0.0.1:9000/bucket', true)).toBe(true)
    expect(await allowed('http://127.0.0.1:5000', 'http://169.254.169.254/latest', true)).toBe(false)
    expect(await allowed('http://10.0.0.7:5000', 'http://127.0.0.1:4883/api/v1/node', true)).toBe(false)
    expect(await allowed('http://10.0.0.7:5000', 'http://10.0.0.8:9000/bucket', true)).toBe(true)
  })
})

describe('a connection', () => {
  test('is made to an address that was checked, whatever the name means a moment later', async () => {
    const answers = [['93.184.215.14'], ['127.0.0.1']]
    const { address } = setUp({ lookup: async () => answers.shift() ?? [] })
    expect(await address('https://ghcr.io', 'https://ghcr.io/v2/')).toBe('93.184.215.14')
    expect(await address('https://ghcr.io', 'https://ghcr.io/v2/x')).toBe('93.184.215.14')
    expect(answers).toHaveLength(1)
  })

  test('is made to the one that answers, of several; each port has its own', async () => {
    const tried: number[] = []
    const choose = async (addresses: readonly string[], port: number) => {
      tried.push(port)
      return addresses[1]
    }
    const { address } = setUp({ choose })
    for (const url of ['https://registry.corp/a', 'https://registry.corp/b', 'http://registry.corp/c']) {
      expect(await address('https://registry.corp', url)).toBe('10.0.0.8')
    }
    expect(tried).toEqual([443, 80])
  })

  test('is made to another address when one fails, and to the first again when the name was resolved anew', async () => {
    const offered: string[] = []
    const choose = async (addresses: readonly string[]) => {
      offered.push(addresses.join(' '))
      return addresses[0]
    }
    const names = ['192.0.2.1', '192.0.2.2', '192.0.2.3']
    const asked: string[] = []
    const lookup = async (host: string) => {
      asked.push(host)
      return names
    }
    const { address, reach } = setUp({ choose, lookup })
    const url = 'https://r.example/v2/'
    const failed = (address: string) => reach.failed(new URL(url), address)
    expect(await address('https://r.example', url)).toBe('192.0.2.1')
    // Two requests were on their way to it.
    expect(await Promise.all([failed('192.0.2.1'), failed('192.0.2.1')])).toEqual([true, true])
    expect(await address('https://r.example', url)).toBe('192.0.2.2')
    expect(await failed('192.0.2.1')).toBe(true)
    expect(await address('https://r.example', url)).toBe('192.0.2.2')
    expect(await failed('192.0.2.2')).toBe(true)
    expect(await address('https://r.example', 'http://r.example/v2/')).toBe('192.0.2.1')
    expect(await address('https://r.example', url)).toBe('192.0.2.3')
    expect(await failed('192.0.2.3')).toBe(false)
    expect(asked).toHaveLength(1)
    expect(await address('https://r.example', url)).toBe('192.0.2.1')
    expect(asked).toHaveLength(2)
    expect(offered).toEqual([names.join(' '), '192.0.2.2 192.0.2.3', names.join(' '), names.join(' ')])
  })

  test('is made to what the name means now when its only address failed', async () => {
    const answers = [['192.0.2.1'], ['192.0.2.2']]
    const { address, reach } = setUp({ lookup: async () => answers.shift() ?? [] })
    const url = 'https://r.example/v2/'
    expect(await address('https://r.example', url)).toBe('192.0.2.1')
    expect(await reach.failed(new URL(url), '192.0.2.1')).toBe(false)
    expect(await address('https://r.example', url)).toBe('192.0.2.2')
    expect(await reach.failed(new URL(url), '192.0.2.1')).toBe(false)
    expect(await address('https://r.example', url)).toBe('192.0.2.2')
  })

  test('is made by name where the operator said so, the name is an address, or a proxy resolves it', async () => {
    const { address } = setUp()
    expect(await address('https://registry.corp', 'https://registry.corp/v2/', true)).toBeUndefined()
    expect(await address('https://10.0.0.7', 'https://10.0.0.7/v2/')).toBeUndefined()
    const behind = setUp({ proxy: () => 'http://proxy:3128' })
    expect(await behind.address('https://ghcr.io', 'https://ghcr.io/v2/')).toBeUndefined()
    expect(await behind.address('https://ghcr.io', 'https://unknown.example/v2/')).toBeUndefined()
    expect(await behind.allowed('https://ghcr.io', 'https://on-host.corp/v2/')).toBe(false)
  })

  test('is not made to a name without an address, which is asked for anew', async () => {
    const answers: string[][] = [[], ['93.184.215.14']]
    const { address } = setUp({ lookup: async () => answers.shift() ?? [] })
    await expect(address('https://ghcr.io', 'https://ghcr.io/v2/')).rejects.toThrow('cannot be resolved')
    expect(await address('https://ghcr.io', 'https://ghcr.io/v2/')).toBe('93.184.215.14')
  })

  test('is not made while a resolver does not answer: it might say another thing to who asks next', async () => {
    const { clock, address } = setUp({ lookup: () => new Promise(() => {}) })
    const checked = address('https://r.example', 'https://r.example')
    checked.catch(() => {})
    await clock.run(5_000)
    await expect(checked).rejects.toMatchObject({ code: 'unavailable' })
  })
})

test('a resolver that never answers is waited for once in half a minute where a proxy resolves', async () => {
  const asked: string[] = []
  const lookup = (host: string) => {
    asked.push(host)
    return new Promise<string[]>(() => {})
  }
  const proxy = ({ protocol }: URL) => (protocol === 'https:' ? 'http://proxy:3128' : undefined)
  const { clock, address } = setUp({ lookup, proxy })
  const waited = async (url: string, listed = true) => {
    const start = clock.now()
    let took: number | undefined
    void address('https://registry.corp', url, listed)
      .catch(() => {})
      .then(() => {
        took = clock.now() - start
      })
    while (took === undefined && clock.now() < start + 60_000) await clock.run(1000)
    return took
  }
  const cdn = 'https://cdn.example/blob'
  expect([await waited(cdn), await waited(cdn), await waited(cdn, false)]).toEqual([5_000, 0, 0])
  expect(asked).toEqual(['cdn.example'])
  // What does not go through the proxy needs the address.
  expect([await waited('http://cdn.example/blob'), await waited('http://cdn.example/blob')]).toEqual([5_000, 5_000])
  clock.advance(30_000)
  expect(await waited(cdn)).toBe(5_000)
})

test('what was resolved is believed for half a minute', async () => {
  const { clock, asked, allowed } = setUp()
  for (let i = 0; i < 3; i++) await allowed('https://ghcr.io', 'https://ghcr.io/v2/')
  expect(asked).toEqual(['ghcr.io'])
  clock.advance(30_000)
  await allowed('https://ghcr.io', 'https://ghcr.io/v2/')
  expect(asked).toEqual(['ghcr.io', 'ghcr.io'])
})
