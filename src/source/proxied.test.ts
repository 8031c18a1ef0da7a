/** A registry beside a proxy that the environment names, over sockets. */
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { collect } from '../../test/conformance/source.ts'
import { FakeRegistry, noise } from '../../test/fakes/registry.ts'
import { sourceOver } from '../../test/fakes/registry-source.ts'
import { systemClock } from '../clock.ts'
import { digestOf } from '../oci/digest.ts'
import { Reach } from './reach.ts'

const layer = noise(300_000, 5)
const digest = digestOf(layer)
const folder = mkdtempSync(join(tmpdir(), 'shoal-proxied-'))
afterAll(() => rmSync(folder, { recursive: true }))
const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')]

const openssl = Bun.which('openssl')
if (openssl === null) console.warn('skipped: a registry behind a proxy, because openssl is not installed')

const names = ['http_proxy', 'https_proxy', 'all_proxy', 'no_proxy'].flatMap((name) => [name, name.toUpperCase()])
const before = names.map((name) => [name, process.env[name]] as const)

/** A proxy for CONNECT that resolves names by itself: all of them are this host. */
class Tunneller {
  readonly tunnels: string[] = []
  readonly #ends: Duplex[] = []
  readonly #server: Server = createServer()

  async start(): Promise<number> {
    this.#server.on('connect', ({ url = '' }, client) => {
      this.tunnels.push(url)
      const there = connect(Number(url.split(':')[1]), '127.0.0.1', () => {
        client.write('HTTP/1.1 200 OK\r\n\r\n')
        client.pipe(there).pipe(client)
      })
      for (const end of [client, there]) this.#ends.push(end.on('error', () => {}))
    })
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
    return (this.#server.address() as AddressInfo).port
  }

  async stop(): Promise<void> {
    for (const end of this.#ends) end.destroy()
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }
}

describe.skipIf(openssl === null)('a registry beside a proxy', () => {
  let registry: FakeRegistry
  let proxy: Tunneller
  /** As the registry is named where it redirects to: itself, by a name that no resolver knows. */
  let there: string
  beforeEach(async () => {
    const subject = ['-subj', '/CN=shoal test', '-addext', 'subjectAltName=IP:127.0.0.1,DNS:storage.test']
    const made = Bun.spawnSync([
      ...[openssl!, 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1'],
      ...['-nodes', '-days', '2', '-keyout', key, '-out', cert, ...subject],
    ])
    expect(made.exitCode).toBe(0)
    registry = await FakeRegistry.start({ tls: { key: readFileSync(key, 'utf8'), cert: readFileSync(cert, 'utf8') } })
    registry.image('org/app', 'v1', [layer])
    there = `storage.test:${registry.url.port}`
    proxy = new Tunneller()
    for (const name of names) delete process.env[name]
    process.env.HTTPS_PROXY = `http://127.0.0.1:${await proxy.start()}`
  })
  afterEach(async () => {
    for (const [name, value] of before) {
      if (value === undefined) delete process.env[name]
      else process.env[name] = value
    }
    await proxy.stop()
    await registry.stop()
  })

  async function readThere(addresses: string[]) {
    registry.fault({ path: '/blobs/', redirect: `https://${there}`, times: 1 })
    const reach = new Reach(systemClock, { lookup: async () => addresses })
    const { source, repository } = sourceOver(registry, { caFile: cert, reach })
    return digestOf(await collect((await source.open({ repository, kind: 'blob', digest }, 0)).body))
  }

  test('is reached through it, by its name, also where no resolver here knows that name', async () => {
    expect(await readThere([])).toBe(digest)
    expect(proxy.tunnels).toEqual([there])
    expect(registry.requests.at(-1)!.headers.host).toBe(there)
  })

  test.each(['storage.test', '.test', '*'])(
    'is reached without it where NO_PROXY has %s, at the address that was checked',
    async (noProxy) => {
      process.env.NO_PROXY = noProxy
      expect(await readThere(['127.0.0.1'])).toBe(digest)
      expect(proxy.tunnels).toEqual([])
      expect(registry.requests.map(({ headers }) => headers.host)).toEqual([registry.host, there])
    },
  )

  test('is reached through it where NO_PROXY has only others, or its address, which is not its name', async () => {
    process.env.NO_PROXY = '127.0.0.1,other.test'
    expect(await readThere(['127.0.0.1'])).toBe(digest)
    expect(proxy.tunnels).toEqual([there])
  })

  test('is reached through the one that ALL_PROXY names as well', async () => {
    process.env.ALL_PROXY = process.env.HTTPS_PROXY
    delete process.env.HTTPS_PROXY
    expect(await readThere(['127.0.0.1'])).toBe(digest)
    expect(proxy.tunnels).toEqual([there])
  })
})
