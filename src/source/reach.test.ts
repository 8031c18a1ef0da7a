import { describe, expect, test } from 'bun:test'
import { FakeClock } from '../../test/fakes/clock.ts'
import { Reach } from './reach.ts'

const names: Record<string, string[]> = {
  'ghcr.io': ['140.82.112.33'],
  'rebound.example': ['93.184.215.14', '127.0.0.1'],
  'metadata.example': ['::ffff:169.254.169.254'],
  'cdn.example': ['93.184.215.14', '2606:2800:220:1::1'],
  'on-host.corp': ['127.0.0.1'],
}

function setUp() {
  const clock = new FakeClock()
  const asked: string[] = []
  const lookup = async (host: string) => {
    asked.push(host)
    return names[host] ?? []
  }
  const reach = new Reach(clock, lookup)
  const allowed = (origin: string, url: string, listed = false) =>
    reach.check({ registry: 'r.example', origin, listed }, new URL(url)).then(
      () => true,
      (error) => {
        expect(error).toMatchObject({ code: 'not-listed', message: expect.stringContaining('--upstream') })
        return false
      },
    )
  return { clock, asked, reach, allowed }
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
    'https://169.254.169.254/v2/',
    'https://rebound.example/v2/',
    'https://metadata.example/v2/',
  ])('is not asked at %s', async (url) => {
    expect(await setUp().allowed(new URL(url).origin, url)).toBe(false)
  })

  test.each(['https://ghcr.io/v2/', 'https://10.0.0.7:5000/v2/', 'https://unknown.example/v2/'])(
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

test('what was resolved is believed for half a minute, and a resolver that does not answer holds nobody up', async () => {
  const { clock, asked, allowed } = setUp()
  for (let i = 0; i < 3; i++) await allowed('https://ghcr.io', 'https://ghcr.io/v2/')
  expect(asked).toEqual(['ghcr.io'])
  clock.advance(30_000)
  await allowed('https://ghcr.io', 'https://ghcr.io/v2/')
  expect(asked).toEqual(['ghcr.io', 'ghcr.io'])

  const silent = new Reach(clock, () => new Promise(() => {}))
  const checked = silent.check(
    { registry: 'r', origin: 'https://r.example', listed: false },
    new URL('https://r.example'),
  )
  clock.advance(5_000)
  expect(await checked).toBeUndefined()
})
