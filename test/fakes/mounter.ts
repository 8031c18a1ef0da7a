/**
 * A mounter and a node's indexes as the snapshotter sees them, without FUSE: a layer is a folder that was made beforehand.
 * The mounter listens on a unix socket, the node on a port of the loopback.
 */
import { rmSync } from 'node:fs'
import type { LayerFacts } from '../../src/mount/mounter/api.ts'
import { type LayerRequest, layerRequestSchema } from '../../src/mount/mounter/api.ts'
import type { Digest } from '../../src/oci/digest.ts'

export class FakeMounter {
  /** Where a layer's files are; there is an index of those alone. */
  readonly trees = new Map<Digest, string>()
  /** Layers whose index is being made. */
  readonly making = new Set<Digest>()
  /** Layers that turn out to have none when they are mounted. */
  readonly whole = new Set<Digest>()
  readonly asked: LayerRequest[] = []
  readonly #held = new Map<string, { request: LayerRequest; holders: Set<string> }>()
  readonly #socket: string
  #server: Bun.Server<undefined> | undefined
  readonly #node: Bun.Server<undefined>

  constructor(socket: string) {
    this.#socket = socket
    this.start()
    this.#node = Bun.serve({ port: 0, hostname: '127.0.0.1', fetch: (request) => this.#index(new URL(request.url)) })
  }

  get node(): string {
    return `http://127.0.0.1:${this.#node.port}`
  }

  /** All holders, of all layers. */
  get holders(): string[] {
    return [...this.#held.values()].flatMap(({ holders }) => [...holders])
  }

  start(): void {
    rmSync(this.#socket, { force: true })
    this.#server = Bun.serve({ unix: this.#socket, fetch: (request) => this.#answer(request) })
  }

  /** As a crash: it knows of no layer afterwards. */
  async stop(): Promise<void> {
    await this.#server?.stop(true)
    this.#server = undefined
    this.#held.clear()
  }

  async close(): Promise<void> {
    await this.stop()
    await this.#node.stop(true)
  }

  async #answer(request: Request): Promise<Response> {
    const url = new URL(request.url)
    const [, , , id = ''] = url.pathname.split('/')
    if (request.method === 'POST') {
      const asked = layerRequestSchema.parse(await request.json())
      this.asked.push(asked)
      if (!this.trees.has(asked.digest)) return Response.json({ error: 'no such layer' }, { status: 404 })
      const held = this.#held.get(idOf(asked.digest)) ?? { request: asked, holders: new Set() }
      held.holders.add(asked.holder)
      this.#held.set(idOf(asked.digest), held)
      return Response.json(this.#facts(idOf(asked.digest)))
    }
    if (request.method === 'DELETE') {
      const held = this.#held.get(id)
      held?.holders.delete(url.searchParams.get('holder') ?? '')
      if (held?.holders.size === 0) this.#held.delete(id)
      return new Response(null, { status: 204 })
    }
    if (id !== '') {
      if (this.#held.has(id)) return Response.json(this.#facts(id))
      return Response.json({ error: `no layer ${id} is mounted here` }, { status: 404 })
    }
    return Response.json({ layers: [...this.#held.keys()].map((each) => this.#facts(each)) })
  }

  #facts(id: string): LayerFacts {
    const { request, holders } = this.#held.get(id)!
    const indexed = !this.whole.has(request.digest)
    return {
      ...{ id, digest: request.digest, path: this.trees.get(request.digest)!, holders: [...holders] },
      ...{ size: 1000, here: 300, fetched: 100, deduped: 50, disk: 250, complete: false, errors: [], indexed },
      ...(indexed ? {} : { reason: 'it is one frame of zstd' }),
    }
  }

  #index(url: URL): Response {
    const digest = url.pathname.split('/').at(-2) as Digest
    if (this.making.has(digest)) return Response.json({ state: 'making' }, { status: 202 })
    if (this.trees.has(digest)) return new Response('x', { status: 206, headers: { 'content-range': 'bytes 0-0/9' } })
    return Response.json({ errors: [{ code: 'UNSUPPORTED', message: 'no seed has that layer' }] }, { status: 404 })
  }
}

function idOf(digest: Digest): string {
  return digest.slice(7)
}
