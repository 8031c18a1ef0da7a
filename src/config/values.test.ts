import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { duration, endpoint, join, type Kind, path, rate, size, toggle, upstream } from './values.ts'

function cases<T>(kind: Kind<T>, good: [string, T][], bad: string[]) {
  test.each(good)('"%s" is understood', (text, value) => {
    expect(kind.parse(text)).toEqual(value)
  })
  test.each(bad)('"%s" is refused', (text) => {
    expect(kind.safeParse(text).success).toBe(false)
  })
}

describe('a size', () => {
  const good: [string, { bytes: number } | { share: number }][] = [
    ['1048576', { bytes: 1048576 }],
    ['20GiB', { bytes: 20 * 1024 ** 3 }],
    ['1.5 KiB', { bytes: 1536 }],
    ['500MB', { bytes: 500_000_000 }],
    ['2T', { bytes: 2e12 }],
    ['80%', { share: 0.8 }],
    ['0.5%', { share: 0.005 }],
  ]
  cases(size, good, ['', '0', '0%', '-1', '1e9', '20GiBit', '9999999PB', '0x10', 'NaN'])
})

describe('a rate', () => {
  const good: [string, number][] = [
    ['100MB/s', 100_000_000],
    ['100Mbit/s', 12_500_000],
    ['1Gbitps', 125_000_000],
    ['10MiB/s', 10 * 1024 ** 2],
    ['8 kbit/s', 1000],
    ['800B/s', 800],
  ]
  cases(rate, good, ['', '100', '100MB', '100Mb/s', '0MB/s', '-1MB/s', 'MB/s', '1bit/s/s'])
})

describe('a duration', () => {
  const good: [string, number][] = [
    ['0', 0],
    ['250ms', 250],
    ['60s', 60_000],
    ['1h30m', 5_400_000],
    ['7d', 604_800_000],
    ['1.5s', 1500],
  ]
  cases(duration, good, ['', '60', '1w', '-5s', 's', '1h 30m', '1.2.3s'])

  test('reads back what it was written as, whatever the number', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1_000_000 }), fc.constantFrom('ms', 's', 'm', 'h', 'd'), (count, unit) => {
        const ms = duration.parse(`${count}${unit}`)
        expect(ms % count).toBe(0)
        expect(duration.parse(`${ms}ms`)).toBe(ms)
      }),
    )
  })
})

describe('an entry of the seed list', () => {
  const good: [string, string][] = [
    ['seed-1', '/dns/seed-1/tcp/4882'],
    ['seed-1.corp:5000', '/dns/seed-1.corp/tcp/5000'],
    ['10.0.0.7', '/ip4/10.0.0.7/tcp/4882'],
    ['[fd00::7]:99', '/ip6/fd00::7/tcp/99'],
    ['fd00::7', '/ip6/fd00::7/tcp/4882'],
    ['/ip4/10.0.0.7/tcp/4882', '/ip4/10.0.0.7/tcp/4882'],
  ]
  cases(join, good, ['', 'a b', 'seed:0', 'seed:70000', '/ip4/10.0.0.7', '/nope/1/tcp/2', 'http://seed'])
})

describe('the endpoint of a collector', () => {
  const good: [string, string][] = [
    ['http://10.0.0.9:4318', 'http://10.0.0.9:4318/v1/traces'],
    ['https://otel.corp/', 'https://otel.corp/v1/traces'],
    ['https://otel.corp/tenant/v1/traces?x=1', 'https://otel.corp/tenant/v1/traces?x=1'],
  ]
  cases(endpoint, good, ['', '10.0.0.9:4318', 'grpc://10.0.0.9:4317', 'http://ann:hunter2@otel.corp'])
})

describe('an upstream', () => {
  const good: [string, { registry: string; url: string }][] = [
    ['ghcr.io=https://ghcr.io', { registry: 'ghcr.io', url: 'https://ghcr.io' }],
    ['GHCR.io=https://ghcr.io/', { registry: 'ghcr.io', url: 'https://ghcr.io' }],
    ['registry-1.docker.io=http://hub:80', { registry: 'docker.io', url: 'http://hub' }],
    ['r.corp:5000=http://[::1]:5000/v2/r', { registry: 'r.corp:5000', url: 'http://[::1]:5000/v2/r' }],
  ]
  const bad = ['', '=https://a', 'a.io', 'a.io=', 'a.io=a.io', 'a.io=ftp://a', 'a/b=https://a', 'a.io=https://a?x=1']
  cases(upstream, good, bad)
})

test('a relative path is made absolute, so that it stays the same file', () => {
  expect(path.parse('/x')).toBe('/x')
  expect(path.parse('x')).toBe(`${process.cwd()}/x`)
  expect(path.safeParse('').success).toBe(false)
})

test('a toggle knows the words people use and no others', () => {
  for (const word of ['true', 'yes', 'ON', '1']) expect(toggle.parse(word)).toBe(true)
  for (const word of ['false', 'no', 'off', '0']) expect(toggle.parse(word)).toBe(false)
  for (const word of ['', 'maybe', 'constructor', 'truee']) expect(toggle.safeParse(word).success).toBe(false)
})
