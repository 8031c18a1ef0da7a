/** Clients that take up a node's time and memory, and give nothing for it. */
import type { Socket } from 'bun'

export type Port = 'registry' | 'peer' | 'p2p' | 'admin'

export interface Nuisance {
  readonly what: string
  readonly port: Port
  /** Sent when the connection stands. */
  readonly says: string
  /** Sent every second after that. */
  readonly drips?: string
  /** Takes what comes. Default: nothing. */
  readonly reads?: boolean
  /** The node has let go of it by then, in seconds: the limit itself, and how often the node looks. */
  readonly goneAfter: number
}

const head = (method: string, path: string, ...headers: string[]) =>
  `${[`${method} ${path} HTTP/1.1`, 'host: node', ...headers].join('\r\n')}\r\n\r\n`
/** The peer port answers nodes only. */
const asNode = (method: string, path: string, ...headers: string[]) =>
  head(method, path, `x-shoal-node: 12D3KooW${'a'.repeat(44)}`, ...headers).replace('host: node', 'host: 127.0.0.1')
const announce = '/shoal/v1/announce'
const handshake = ['connection: upgrade', 'upgrade: websocket', 'sec-websocket-version: 13']

/** @param digest of a blob that is whole on the node, and longer than what kernels keep of a connection */
export function nuisances(digest: string): readonly Nuisance[] {
  const blob = `/v2/team/app/blobs/${digest}`
  const piece = `/shoal/v1/blobs/${digest}/pieces/0`
  const http: Nuisance[] = (['registry', 'peer', 'admin'] as const).flatMap((port) => [
    { what: 'says nothing', port, says: '', goneAfter: 25 },
    { what: 'never ends its head', port, says: 'GET /v2/ HTTP/1.1\r\nhost: x\r\nx-a: ', goneAfter: 25 },
    { what: 'sends a byte of its head a second', port, says: 'GET /v2/ HTTP/1.1\r\nx-a: ', drips: 'a', goneAfter: 25 },
  ])
  return [
    ...http,
    { what: 'takes nothing of a blob', port: 'registry', says: head('GET', blob), goneAfter: 80 },
    {
      what: 'asks for a blob a hundred times at once, and takes nothing',
      port: 'registry',
      says: head('GET', blob).repeat(100),
      goneAfter: 80,
    },
    {
      what: 'never ends its body',
      port: 'registry',
      says: head('POST', `${blob}/uploads/`, 'content-length: 100000'),
      drips: 'a',
      goneAfter: 25,
    },
    { what: 'rests after an answer', port: 'registry', says: head('GET', '/v2/'), reads: true, goneAfter: 105 },
    { what: 'takes nothing of a piece', port: 'peer', says: asNode('GET', piece), goneAfter: 45 },
    {
      what: 'asks for a piece a hundred times at once, and takes nothing',
      port: 'peer',
      says: asNode('GET', piece).repeat(100),
      goneAfter: 80,
    },
    {
      what: 'never ends its body',
      port: 'peer',
      says: asNode('POST', announce, 'content-length: 100000'),
      drips: ' ',
      goneAfter: 45,
    },
    {
      what: 'opens a session and says nothing',
      port: 'peer',
      says: asNode('GET', '/shoal/v1/session', ...handshake, 'sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ=='),
      reads: true,
      goneAfter: 15,
    },
    { what: 'rests after an answer', port: 'peer', says: asNode('GET', '/shoal/v1/ping'), reads: true, goneAfter: 45 },
    {
      what: 'asks for metrics two thousand times at once, and takes nothing',
      port: 'admin',
      says: head('GET', '/metrics').repeat(2000),
      goneAfter: 45,
    },
    { what: 'rests after an answer', port: 'admin', says: head('GET', '/healthz'), reads: true, goneAfter: 25 },
    { what: 'says nothing', port: 'p2p', says: '', goneAfter: 30 },
    { what: 'sends a byte a second', port: 'p2p', says: 'a', drips: 'a', goneAfter: 30 },
  ]
}

/** One of them, on a connection of its own. */
export class Client {
  readonly nuisance: Nuisance
  #socket: Socket | undefined
  #unsent: Buffer
  #drip: Timer | undefined

  private constructor(nuisance: Nuisance) {
    this.nuisance = nuisance
    this.#unsent = Buffer.from(nuisance.says)
  }

  /** @throws when the port takes no connection */
  static async open(hostname: string, port: number, nuisance: Nuisance): Promise<Client> {
    const client = new Client(nuisance)
    await Bun.connect({
      hostname,
      port,
      socket: {
        open: (socket) => client.#opened(socket),
        drain: () => client.#send(),
        data: () => {},
        close: () => clearInterval(client.#drip),
        error: () => {},
      },
    })
    return client
  }

  get localPort(): number {
    return this.#socket?.localPort ?? 0
  }

  close(): void {
    clearInterval(this.#drip)
    this.#socket?.terminate()
  }

  #opened(socket: Socket): void {
    this.#socket = socket
    const { reads, drips } = this.nuisance
    if (!reads) socket.pause()
    this.#send()
    if (drips !== undefined) this.#drip = setInterval(() => socket.write(drips), 1000)
  }

  #send(): void {
    const sent = this.#socket?.write(this.#unsent) ?? 0
    this.#unsent = this.#unsent.subarray(Math.max(0, sent))
  }
}
