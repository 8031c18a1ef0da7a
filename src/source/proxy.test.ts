import { describe, expect, test } from 'bun:test'
import { proxyFor } from './proxy.ts'

const proxy = 'http://proxy.corp:3128'
const through = (url: string, env: Record<string, string>) => proxyFor(new URL(url), env)

describe('the proxy', () => {
  test.each([
    ['https://ghcr.io/v2/', { HTTPS_PROXY: proxy }, proxy],
    ['https://ghcr.io/v2/', { https_proxy: proxy, HTTPS_PROXY: 'http://other' }, proxy],
    ['https://ghcr.io/v2/', { https_proxy: '', HTTPS_PROXY: proxy }, proxy],
    ['https://ghcr.io/v2/', { HTTP_PROXY: proxy }, undefined],
    ['http://registry.corp/', { HTTP_PROXY: proxy }, proxy],
    ['http://registry.corp/', { ALL_PROXY: proxy }, proxy],
    ['http://registry.corp/', { ALL_PROXY: proxy, http_proxy: 'http://other' }, 'http://other'],
    ['http://registry.corp/', { HTTP_PROXY: 'proxy.corp:3128' }, proxy],
    ['http://registry.corp/', { ALL_PROXY: 'socks5://127.0.0.1:9050' }, undefined],
    ['http://registry.corp/', { ALL_PROXY: 'proxy.corp:3128' }, proxy],
    ['http://registry.corp/', { HTTP_PROXY: 'socks5://127.0.0.1:9050' }, 'socks5://127.0.0.1:9050'],
    ['http://registry.corp/', {}, undefined],
  ])('for %s with %o is %s', (url, env, expected) => {
    expect(through(url, env)).toBe(expected)
  })

  test.each(['http://127.0.0.1:5000/', 'http://localhost:5000/', 'http://a.localhost/', 'http://[::1]:5000/'])(
    'is not for this host itself: %s',
    (url) => {
      expect(through(url, { HTTP_PROXY: proxy })).toBeUndefined()
    },
  )
})

describe('NO_PROXY', () => {
  const spared = (noProxy: string, url: string) => through(url, { https_proxy: proxy, no_proxy: noProxy }) === undefined

  test.each([
    ['*', 'https://ghcr.io/'],
    ['ghcr.io', 'https://ghcr.io/'],
    ['GHCR.io', 'https://ghcr.io/'],
    ['ghcr.io.', 'https://ghcr.io/'],
    ['ghcr.io', 'https://ghcr.io./'],
    ['corp', 'https://registry.corp/'],
    ['.corp', 'https://registry.corp/'],
    ['*.corp', 'https://registry.corp/'],
    ['.registry.corp', 'https://registry.corp/'],
    ['a, b ,registry.corp', 'https://registry.corp/'],
    ['a registry.corp', 'https://registry.corp/'],
    ['registry.corp:443', 'https://registry.corp/'],
    ['registry.corp:5000', 'https://registry.corp:5000/'],
    ['10.0.0.7', 'https://10.0.0.7/'],
    ['10.0.0.0/8', 'https://10.200.0.7:5000/'],
    ['fd00::7', 'https://[fd00::7]/'],
    ['[fd00::7]:5000', 'https://[fd00::7]:5000/'],
    ['fd00::/8', 'https://[fd00::7]/'],
  ])('"%s" spares %s', (noProxy, url) => {
    expect(spared(noProxy, url)).toBe(true)
  })

  test.each([
    ['', 'https://ghcr.io/'],
    ['.', 'https://ghcr.io/'],
    ['cr.io', 'https://ghcr.io/'],
    ['registry.corp', 'https://corp/'],
    ['registry.corp:5000', 'https://registry.corp/'],
    ['0.7', 'https://10.0.0.7/'],
    ['10.0.0.0/8', 'https://11.0.0.7/'],
    ['10.0.0.0/8', 'https://registry.corp/'],
    ['10.0.0.0/99', 'https://10.0.0.7/'],
    ['10.0.0.0/', 'https://10.0.0.7/'],
    ['fd00::/8', 'https://10.0.0.7/'],
    ['[', 'https://ghcr.io/'],
    ['https://ghcr.io', 'https://ghcr.io/'],
  ])('"%s" does not spare %s', (noProxy, url) => {
    expect(spared(noProxy, url)).toBe(false)
  })
})
