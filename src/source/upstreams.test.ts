import { afterAll, describe, expect, test } from 'bun:test'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Upstreams } from './upstreams.ts'

const none = new Map<string, never>()
const folder = mkdtempSync(join(tmpdir(), 'shoal-upstreams-'))
afterAll(() => rmSync(folder, { recursive: true }))

function at(url: string) {
  return new Upstreams(new Map([['r.io', [{ url: new URL(url) }]]]), { onlyListed: true }).find('r.io')
}

describe('Upstreams', () => {
  test('reaches a registry that is not listed at https under its own name', () => {
    const upstream = new Upstreams(none, { onlyListed: false }).find('registry.corp:5000')
    expect(upstream.base).toBe('https://registry.corp:5000/v2')
    expect(upstream.account).toBe('registry.corp:5000')
  })

  test('knows where Docker Hub serves images', () => {
    const hub = new Upstreams(none, { onlyListed: false }).find('docker.io')
    expect(hub.base).toBe('https://registry-1.docker.io/v2')
    expect(hub.account).toBe('docker.io')
  })

  test('others can be put in their place; what cannot be used changes nothing', () => {
    const upstreams = new Upstreams(new Map([['r.io', [{ url: new URL('http://one') }]]]), { onlyListed: false })
    upstreams.replace(new Map([['r.io', [{ url: new URL('http://two') }]]]), true)
    expect(upstreams.find('r.io').base).toBe('http://two/v2')
    expect(() => upstreams.find('ghcr.io')).toThrow('not among')
    expect(() => upstreams.replace(new Map([['r.io', [{ url: new URL('ftp://three') }]]]), false)).toThrow('ftp:')
    expect(upstreams.find('r.io').base).toBe('http://two/v2')
    expect(() => upstreams.find('ghcr.io')).toThrow('not among')
  })

  test('refuses what is not listed where only listed ones are allowed, and says how to allow it', () => {
    const find = () => new Upstreams(none, { onlyListed: true }).find('ghcr.io')
    expect(find).toThrow('add --upstream ghcr.io=https://ghcr.io')
    expect(find).toThrow(expect.objectContaining({ code: 'not-listed' }))
  })

  test.each([
    ['http://mirror:5000', 'http://mirror:5000/v2'],
    ['https://mirror/', 'https://mirror/v2'],
    ['https://mirror/proxy/hub/', 'https://mirror/proxy/hub/v2'],
    ['https://harbor/v2/hub', 'https://harbor/v2/hub'],
    ['https://harbor/v2', 'https://harbor/v2'],
    ['https://harbor/v2x', 'https://harbor/v2x/v2'],
  ])('asks %s at %s', (url, base) => {
    expect(at(url).base).toBe(base)
  })

  test('uses the credentials of the host that they are sent to, not of the registry it stands for', () => {
    expect(at('https://mirror.corp:8443').account).toBe('mirror.corp:8443')
  })

  test('fails at start for a URL it cannot use', () => {
    expect(() => at('ftp://mirror')).toThrow('use https:// or http://')
    expect(() => at('https://user:secret@mirror')).toThrow('must not hold credentials')
  })

  test('fails at start for a CA file that is missing or holds no certificate', () => {
    const file = join(folder, 'empty.pem')
    writeFileSync(file, 'nothing\n')
    expect(() => new Upstreams(none, { onlyListed: true, caFile: file })).toThrow('holds no PEM certificate')
    expect(() => new Upstreams(none, { onlyListed: true, caFile: join(folder, 'missing.pem') })).toThrow('ENOENT')
  })
})
