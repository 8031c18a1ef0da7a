/**
 * A registry that does what it is told to, well or badly: pull side of the OCI distribution spec, authentication, and
 * faults by script. On node:http rather than Bun.serve, which frames a streamed body by itself: a registry states a
 * Content-Length, and one that breaks its word must be able to.
 *
 * For tests: `FakeRegistry.start()`. Alone: `bun test/fakes/registry.ts --host 10.0.0.2 --port 5000
 * [--image library/app:v1=8MiB,64MiB]... [--rate 12MiB] [--user NAME:PASSWORD]`; it prints a line of JSON once it listens
 * and is then told more over HTTP: `POST /-/images {"repository","tag","layers":[bytes,...],"seed"}`,
 * `POST /-/faults` (a {@link Fault}), `DELETE /-/faults`, `GET /-/requests`, `DELETE /-/requests`.
 * Longer than a file should be, since the server and the command line that starts it are one thing to copy elsewhere.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { parseArgs } from 'node:util'
import { seededRandom } from '../../src/clock.ts'
import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { manifestTypes } from '../../src/oci/media.ts'
import { type Content, type Fault, type Seen, send } from './registry-fault.ts'

export type Auth =
  | { readonly kind: 'none' }
  | { readonly kind: 'basic'; readonly user: string; readonly password: string }
  | {
      readonly kind: 'bearer'
      /** Who gets a token; anybody unless given. */
      readonly user?: string
      readonly password?: string
      readonly identityToken?: string
      readonly expiresSeconds?: number
      /** Instead of this registry's own `/token`. */
      readonly realm?: string
    }

export interface FakeImage {
  readonly manifest: Digest
  readonly manifestBytes: Uint8Array
  readonly config: Digest
  readonly layers: readonly Digest[]
}

export interface FakeRegistryOptions {
  readonly hostname?: string
  readonly port?: number
  /** PEM; makes it https. */
  readonly tls?: { readonly key: string; readonly cert: string }
  readonly auth?: Auth
}

export type { Fault, Seen }

export class FakeRegistry {
  readonly url: URL
  /** Every request so far, token requests included, in order of arrival. */
  requests: Seen[] = []
  /** The tokens given out, oldest first. Emptying it revokes them. */
  tokens: string[] = []
  auth: Auth
  #tokensGiven = 0
  readonly #faults: Fault[] = []
  readonly #content = new Map<string, Content>()
  readonly #lists = new Map<string, string[]>()
  readonly #server: Server

  private constructor(server: Server, url: URL, auth: Auth) {
    this.#server = server
    this.url = url
    this.auth = auth
  }

  static async start(options: FakeRegistryOptions = {}): Promise<FakeRegistry> {
    const hostname = options.hostname ?? '127.0.0.1'
    const server = options.tls ? createTlsServer({ ...options.tls }) : createServer()
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(options.port ?? 0, hostname, resolve)
    })
    const { port } = server.address() as AddressInfo
    const url = new URL(`${options.tls ? 'https' : 'http'}://${hostname}:${port}`)
    const registry = new FakeRegistry(server, url, options.auth ?? { kind: 'none' })
    server.on('request', (request, response) => {
      registry.#serve(request, response).catch((error) => response.destroy(error))
    })
    return registry
  }

  async stop(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve))
    this.#server.closeAllConnections()
    await closed
  }

  /** `127.0.0.1:41234`: as a registry in a reference. */
  get host(): string {
    return this.url.host
  }

  fault(fault: Fault): void {
    this.#faults.push({ ...fault })
  }

  mend(): void {
    this.#faults.length = 0
  }

  blob(repository: string, bytes: Uint8Array): Digest {
    const digest = digestOf(bytes)
    this.#content.set(`/v2/${repository}/blobs/${digest}`, { bytes, digest, type: 'application/octet-stream' })
    return digest
  }

  manifest(repository: string, tag: string | undefined, bytes: Uint8Array, type: string): Digest {
    const content = { bytes, type, digest: digestOf(bytes) }
    this.#content.set(`/v2/${repository}/manifests/${content.digest}`, content)
    if (tag !== undefined) {
      this.#content.set(`/v2/${repository}/manifests/${tag}`, content)
      this.#lists.set(repository, [...new Set([...(this.#lists.get(repository) ?? []), tag])].sort())
    }
    return content.digest
  }

  /** An image whose layers are `layers`, as they are. */
  image(repository: string, tag: string, layers: readonly Uint8Array[]): FakeImage {
    const digests = layers.map((layer) => this.blob(repository, layer))
    const configBytes = json({ os: 'linux', architecture: 'amd64', rootfs: { type: 'layers', diff_ids: digests } })
    const config = this.blob(repository, configBytes)
    const manifestBytes = json({
      schemaVersion: 2,
      mediaType: manifestTypes.ociManifest,
      config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: config, size: configBytes.length },
      layers: layers.map((layer, i) => ({
        mediaType: 'application/vnd.oci.image.layer.v1.tar',
        digest: digests[i],
        size: layer.length,
      })),
    })
    const manifest = this.manifest(repository, tag, manifestBytes, manifestTypes.ociManifest)
    return { manifest, manifestBytes, config, layers: digests }
  }

  /** Bytes of content that were sent in answers to GET. */
  sentBytes(part = '/blobs/'): number {
    return this.requests.filter((r) => r.path.includes(part)).reduce((sum, r) => sum + r.sent, 0)
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', this.url)
    const body = await text(request)
    if (url.pathname.startsWith('/-/')) {
      this.#control(request.method ?? '', url.pathname, body, response)
      return
    }
    const seen: Seen = {
      method: request.method ?? '',
      path: url.pathname + url.search,
      headers: { ...request.headers },
      status: 0,
      sent: 0,
    }
    this.requests.push(seen)
    response.once('close', () => {
      if (!response.writableFinished) seen.brokenOff = true
    })
    const fault = this.#take(seen)
    if (fault.silent) return
    const reply = this.#reply(request, url, body, fault)
    if ('content' in reply) {
      await send(request, response, reply.content, fault, seen)
      return
    }
    seen.status = reply.status
    const length = String(Buffer.byteLength(reply.text ?? ''))
    response.writeHead(reply.status, { 'content-length': length, ...reply.headers })
    response.end(seen.method === 'HEAD' ? undefined : reply.text)
  }

  #reply(request: IncomingMessage, url: URL, body: string, fault: Fault): Reply | { readonly content: Content } {
    const path = url.pathname
    if (fault.status !== undefined) {
      return { status: fault.status, headers: fault.headers ?? {}, text: fault.body ?? '' }
    }
    if (path === '/token') return this.#token(request, url, body)
    const challenge = this.#challenge(request, path)
    if (challenge) return { status: 401, headers: { 'www-authenticate': challenge }, text: errors('UNAUTHORIZED') }
    if (fault.redirect !== undefined) return { status: 307, headers: { location: fault.redirect + path + url.search } }
    if (path === '/v2/' || path === '/v2') return { status: 200, headers: jsonType, text: '{}' }
    const list = /^\/v2\/(.+)\/tags\/list$/.exec(path)
    if (list) return this.#tags(list[1]!, url)
    const content = this.#content.get(path)
    if (content) return { content }
    const folder = path.replace(/(manifests|blobs|referrers)\/[^/]*$/, '')
    const known = [...this.#content.keys()].some((key) => key.startsWith(folder))
    const code = !known ? 'NAME_UNKNOWN' : path.includes('/blobs/') ? 'BLOB_UNKNOWN' : 'MANIFEST_UNKNOWN'
    return { status: 404, headers: jsonType, text: errors(code) }
  }

  /** The faults that concern the request, joined; each is used up by one. */
  #take(seen: Seen): Fault {
    let joined: Fault = {}
    for (const fault of [...this.#faults]) {
      if (!seen.path.includes(fault.path ?? '/v2/') || (fault.method ?? seen.method) !== seen.method) continue
      joined = { ...fault, ...joined }
      if (fault.times === undefined) continue
      fault.times -= 1
      if (fault.times <= 0) this.#faults.splice(this.#faults.indexOf(fault), 1)
    }
    return joined
  }

  #challenge(request: IncomingMessage, path: string): string | undefined {
    const { auth } = this
    const given = request.headers.authorization ?? ''
    if (auth.kind === 'basic') {
      return given === basic(auth.user, auth.password) ? undefined : 'Basic realm="fake registry"'
    }
    if (auth.kind === 'bearer') {
      if (this.tokens.includes(given.replace(/^Bearer /, ''))) return undefined
      const name = /^\/v2\/(.+)\/(?:manifests|blobs|tags|referrers)\//.exec(path)?.[1]
      const scope = name === undefined ? '' : `,scope="repository:${name}:pull"`
      return `Bearer realm="${auth.realm ?? `${this.url.origin}/token`}",service="${this.host}"${scope}`
    }
    return undefined
  }

  #token(request: IncomingMessage, url: URL, body: string): Reply {
    const { auth } = this
    if (auth.kind !== 'bearer') return { status: 404, headers: {} }
    const form = new URLSearchParams(body)
    const allowed =
      request.method === 'POST'
        ? auth.identityToken !== undefined && form.get('refresh_token') === auth.identityToken
        : auth.user === undefined || request.headers.authorization === basic(auth.user, auth.password ?? '')
    if (!allowed) return { status: 401, headers: jsonType, text: errors('UNAUTHORIZED') }
    const scope = url.searchParams.get('scope') ?? form.get('scope') ?? ''
    this.#tokensGiven += 1
    const token = `token-${this.#tokensGiven}-${digestOf(Buffer.from(scope)).slice(7, 15)}`
    this.tokens.push(token)
    const expires_in = auth.expiresSeconds ?? 300
    return { status: 200, headers: jsonType, text: JSON.stringify({ token, expires_in }) }
  }

  #tags(repository: string, url: URL): Reply {
    const all = this.#lists.get(repository)
    if (!all) return { status: 404, headers: jsonType, text: errors('NAME_UNKNOWN') }
    const last = url.searchParams.get('last') ?? ''
    const count = Number(url.searchParams.get('n') ?? 1000)
    const rest = all.filter((tag) => tag > last)
    const tags = rest.slice(0, count)
    const query = new URLSearchParams({ n: String(count), last: tags.at(-1) ?? '' })
    const link = { link: `<${this.url.origin}${url.pathname}?${query}>; rel="next"` }
    return {
      status: 200,
      headers: { ...jsonType, ...(rest.length > tags.length ? link : {}) },
      text: JSON.stringify({ name: repository, tags }),
    }
  }

  #control(method: string, path: string, body: string, response: ServerResponse): void {
    const result = this.#controlled(`${method} ${path}`, body)
    response.writeHead(result === undefined ? 404 : 200, { 'content-type': 'application/json' })
    response.end(result === undefined ? undefined : JSON.stringify(result))
  }

  #controlled(order: string, body: string): unknown {
    switch (order) {
      case 'POST /-/images': {
        const { repository, tag, layers, seed = 1 } = JSON.parse(body) as ImageOrder
        const content = layers.map((size, i) => noise(size, seed + i))
        const { manifest, config, layers: digests } = this.image(repository, tag, content)
        return { manifest, config, layers: digests }
      }
      case 'POST /-/faults':
        this.fault(JSON.parse(body) as Fault)
        return {}
      case 'DELETE /-/faults':
        this.mend()
        return {}
      case 'GET /-/requests':
        return this.requests
      case 'DELETE /-/requests':
        this.requests = []
        return {}
      default:
        return undefined
    }
  }
}

interface Reply {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly text?: string
}

interface ImageOrder {
  repository: string
  tag: string
  layers: number[]
  seed?: number
}

const jsonType = { 'content-type': 'application/json' }
async function text(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = []
  for await (const part of request) parts.push(part as Buffer)
  return Buffer.concat(parts).toString('utf8')
}

/** `size` bytes that do not compress, the same for the same seed. */
export function noise(size: number, seed = 1): Uint8Array {
  const random = seededRandom(seed)
  const words = new Uint32Array(Math.ceil(size / 4))
  for (let i = 0; i < words.length; i++) words[i] = random() * 4294967296
  return new Uint8Array(words.buffer, 0, size)
}

function json(value: unknown): Uint8Array {
  return Buffer.from(JSON.stringify(value))
}

function errors(code: string): string {
  return JSON.stringify({ errors: [{ code, message: code.toLowerCase().replace(/_/g, ' ') }] })
}

function basic(user: string, password: string): string {
  return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`
}

function parseSize(text: string): number {
  const match = /^(\d+)(KiB|MiB|GiB)?$/.exec(text)
  if (!match) throw new Error(`"${text}" is not a size: expected 4096, 64KiB, 8MiB or 1GiB`)
  return Number(match[1]) * { '': 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 }[match[2] ?? '']!
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      host: { type: 'string', default: '127.0.0.1' },
      port: { type: 'string', default: '5000' },
      image: { type: 'string', multiple: true, default: [] },
      rate: { type: 'string' },
      user: { type: 'string' },
    },
  })
  const registry = await FakeRegistry.start({ hostname: values.host, port: Number(values.port) })
  if (values.user !== undefined) {
    const [user = '', password = ''] = values.user.split(':')
    registry.auth = { kind: 'basic', user, password }
  }
  if (values.rate !== undefined) registry.fault({ path: '/blobs/', rate: parseSize(values.rate) })
  const images = values.image.map((order, i) => {
    const [name = '', sizes = ''] = order.split('=')
    const colon = name.lastIndexOf(':')
    const layers = sizes.split(',').map((size, j) => noise(parseSize(size), 1000 * (i + 1) + j))
    const { manifest, config, layers: digests } = registry.image(name.slice(0, colon), name.slice(colon + 1), layers)
    return { name, manifest, config, layers: digests }
  })
  console.log(JSON.stringify({ url: registry.url.href, images }))
}
