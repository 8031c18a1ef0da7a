/**
 * Mutated HTTP requests for the three ports of a running node. Whatever is sent, the node answers, or closes the
 * connection, or waits for the rest of a request that is not whole; it goes on serving others all the while.
 */
import fc from 'fast-check'
import * as right from './corpus.ts'
import { mutated } from './mutations.ts'

export type Port = 'registry' | 'peer' | 'admin'

export interface FuzzedRequest {
  readonly port: Port
  readonly bytes: Buffer
}

const digest = right.digests[0]!
const get = (target: string, ...headers: string[]) => message('GET', target, headers, '')
const post = (target: string, body: string) => message('POST', target, ['content-type: application/json'], body)

function message(method: string, target: string, headers: readonly string[], body: string): string {
  const length = method === 'POST' ? [`content-length: ${Buffer.byteLength(body)}`] : []
  // The peer port answers nodes only, and asks by which name it is called.
  const asked = target.startsWith('/shoal/') ? ['host: 127.0.0.1', `x-shoal-node: ${right.id}`] : ['host: node']
  return [`${method} ${target} HTTP/1.1`, ...asked, 'connection: close', ...headers, ...length, '', body].join('\r\n')
}

const handshake = ['upgrade: websocket', 'sec-websocket-version: 13', 'sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==']

export const requestCorpus: Readonly<Record<Port, readonly string[]>> = {
  registry: [
    ...right.targets.map((target) => get(target, 'accept: application/vnd.oci.image.index.v1+json')),
    ...right.ranges.map((range) => get(`/v2/team/app/blobs/${digest}`, `range: ${range}`)),
    message('HEAD', '/v2/team/app/manifests/v1', [`if-none-match: "${digest}"`], ''),
    message('PUT', '/v2/team/app/manifests/v1', ['transfer-encoding: chunked'], '5\r\nhello\r\n0\r\n\r\n'),
  ],
  peer: [
    get(`/shoal/v1/blobs/${digest}/pieces/3,17,4`),
    get(`/shoal/v1/blobs/${digest}/pieces/any`, 'x-shoal-unwanted: Dw8=', 'x-shoal-from: 3', 'x-shoal-background: 1'),
    get(
      `/shoal/v1/blobs/${digest}/pieces/3`,
      ...[
        'x-shoal-node: 12D3KooWGzBXEK2vCWCDgSWGsqXpc4rUfsEdmCsMLxGV8uSAIPEL',
        'x-shoal-follow: 1',
        'x-shoal-coming: 1',
      ],
      ...['x-shoal-url: http://10.0.0.7:4881', 'x-shoal-zone: eu%2Fone'],
    ),
    get('/shoal/v1/ping'),
    get('/shoal/v1/session', 'connection: upgrade', ...handshake),
    ...right.announces.map((body) => post('/shoal/v1/announce', body)),
    ...right.schedules.map((body) => post('/shoal/v1/schedule', body)),
    ...right.orders.map((body) => post('/shoal/v1/fetch', body)),
    ...right.resolves.map((body) => post('/shoal/v1/resolve', body)),
  ],
  admin: [
    ...['/healthz', '/readyz', '/metrics', '/api/v1/node', '/api/v1/members', '/api/v1/transfers'].map((path) =>
      get(path),
    ),
    get('/api/v1/blobs?filter=debian&state=complete&limit=10&offset=3'),
    get(`/api/v1/blobs/${digest}`, 'authorization: Bearer secret'),
    message('DELETE', `/api/v1/blobs/${digest}`, [], ''),
    message('DELETE', '/api/v1/bans/12D3KooW', [], ''),
  ],
}

/** Texts are sent as Latin-1, so that every byte value comes up. */
export const fuzzedRequest: fc.Arbitrary<FuzzedRequest> = fc
  .constantFrom<Port[]>('registry', 'peer', 'admin')
  .chain((port) => mutated(requestCorpus[port]).map((text) => ({ port, bytes: Buffer.from(text, 'latin1') })))

export type Outcome = 'answered' | 'closed' | 'waited'

/** Sends it and waits for the end, or for as long as an honest client would pause at most. */
export function send(hostname: string, port: number, bytes: Buffer, patienceMs: number): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    let answered = false
    let left = bytes
    const write = (socket: Bun.Socket) => {
      left = left.subarray(socket.write(left))
    }
    const over = () => {
      clearTimeout(timer)
      resolve(answered ? 'answered' : 'closed')
    }
    let open: Bun.Socket | undefined
    const timer = setTimeout(() => {
      open?.terminate()
      resolve(answered ? 'answered' : 'waited')
    }, patienceMs)
    const socket = {
      open: (socket: Bun.Socket) => {
        open = socket
        write(socket)
      },
      drain: write,
      data: () => {
        answered = true
      },
      close: over,
      error: over,
      connectError: (_: Bun.Socket, error: Error) => {
        clearTimeout(timer)
        reject(error)
      },
    }
    Bun.connect({ hostname, port, socket }).catch(reject)
  })
}
