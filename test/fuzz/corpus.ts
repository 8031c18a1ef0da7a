/** Right inputs for every reader, to be changed. */
import { krakenBody, webhookBody } from '../fakes/harbor.ts'

const hex = '0123456789abcdef'.repeat(4)
const digest = `sha256:${hex}`
/** Of the node that asks. */
export const id = `12D3KooW${'A'.repeat(44)}`
const zoned = { zone: 'eu/a/r1' }
const node = {
  ...{ id, url: 'http://10.0.0.7:4881', p2p: ['/ip4/10.0.0.7/tcp/4882'], modes: ['peer', 'seed'] },
  ...{ version: '0.1.0', epoch: 'e1', ...zoned },
}
const card = { id, url: node.url, ...zoned }
const location = { repository: { registry: 'docker.io', name: 'library/debian' }, kind: 'blob', digest }
const base64 = Buffer.alloc(64, 7).toString('base64')
const json = (...values: object[]) => values.map((value) => JSON.stringify(value))

export const frames = json(
  { t: 'hello', node: card, protocol: 1 },
  { t: 'want', digest },
  { t: 'unwant', digest },
  { t: 'state', digest, size: 3_000_000, pieceLength: 262_144, kind: 'blob', feeding: true, have: 'Dw8=' },
  {
    ...{ t: 'state', digest, size: 3_000_000, pieceLength: 262_144, kind: 'blob', feeding: false, have: '' },
    private: [{ registry: 'corp.example', name: 'org/app' }],
  },
  { t: 'have', digest, pieces: [0, 1, 2, 11] },
  { t: 'got', digest, piece: 4 },
  { t: 'got', digest, piece: 4, dropped: true },
  { t: 'wrong', digest, piece: 4 },
  { t: 'meta', digest, size: 3_000_000, first: 0, digests: base64, signer: id, signature: base64 },
  { t: 'gone', digest, code: 'corrupt', message: 'its bytes have another digest' },
)
const announce = { node, uploads: 1, uploadSlots: 8, full: true, holdings: [], gone: [], leaving: false }
const holding = { digest, size: 3_000_000, pieces: 12, complete: true }
export const announces = json(announce, { ...announce, holdings: [holding], gone: [digest], known: 'v1', full: false })
const schedule = { node, location, pieces: 0, connected: [id], failed: [], stalled: false }
export const schedules = json(schedule, {
  ...{ ...schedule, size: 3_000_000, stalled: true, part: true, hears: true },
  failed: [{ node: id, reason: 'does not answer', refused: 'denied' }],
})
export const announceReplies = json({ epoch: 'e1', version: 'v1', members: [node], every: 5000 })
const parents = [{ node: card, pieces: 3, complete: false }]
export const scheduleReplies = json({ parents, fetcher: id, size: 1, elsewhere: true, leads: true, again: 1000 })
export const orders = json({ location })
export const resolves = json({ repository: location.repository, tag: 'latest' })
export const resolvesParts = json(location)
export const resolveReplies = json({ digest, mediaType: 'application/json', size: 500, age: 0 })

const head = 'x-shoal-piece: 3\r\nx-shoal-length: 5\r\n\r\n'
export const answers = [
  `HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-type: application/octet-stream\r\n${head}12345`,
  'HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\nretry-after: 1\r\n\r\n{}',
  `HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n${head}5\r\n12345\r\n0\r\n\r\n`,
  `HTTP/1.1 503 Busy\r\ncontent-length: 0\r\nx-shoal-elsewhere: ${id}\r\nx-shoal-url: http://10.0.0.7:4881\r\nx-shoal-zone: eu%2Fone\r\n${head}`,
]
export const records = [`id=${id}\nat=/ip4/10.0.0.7/tcp/4882\nat=/ip4/10.0.0.8/tcp/4882`]

export const targets = [
  '/v2/',
  '/v2/library/debian/manifests/latest',
  `/v2/library/debian/manifests/${digest}?ns=docker.io`,
  `/v2/ghcr.io/org/app/blobs/${digest}`,
  `/v2/localhost:5000/app/blobs/${digest}`,
  '/v2/team/app/tags/list?n=10&last=v1',
  `/v2/team/app/referrers/${digest}?artifactType=x`,
]
export const ranges = ['bytes=0-', 'bytes=0-99', 'bytes=-500', 'bytes=0-0,5-9, 900-', 'bytes=999-1000']
export const digests = [digest, `sha512:${hex}${hex}`]
export const references = ['debian', 'debian:13', `ghcr.io/org/app:v1@${digest}`, 'localhost:5000/a/b']
export const registries = ['docker.io', 'registry.corp:5000', '[fd00::1]:5000', '10.0.0.7', 'localhost']
export const repositories = ['library/debian', 'ghcr.io/org/app', 'localhost:5000/a/b/c']

const part = { mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip', digest, size: 1000 }
export const manifests = json(
  { schemaVersion: 2, mediaType: 'application/vnd.oci.image.manifest.v1+json', config: part, layers: [part, part] },
  { schemaVersion: 2, manifests: [{ ...part, platform: { os: 'linux', architecture: 'amd64' } }] },
)
export const challenges = [
  'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/debian:pull"',
  'Basic realm="a \\"quoted\\" realm"',
  'Negotiate, Bearer realm="https://x/token", Basic realm=y',
]
export const dockerConfigs = json({
  auths: { 'ghcr.io': { auth: 'bWU6cHc=' }, 'https://index.docker.io/v1/': { username: 'me', password: 'pw' } },
  credHelpers: { 'gcr.io': 'gcloud' },
  credsStore: 'pass',
})
export const helperOutputs = json(
  { ServerURL: 'ghcr.io', Username: 'me', Secret: 'pw' },
  { Username: '<token>', Secret: 't' },
)
const image = { endpoint: 'https://harbor.corp', repository: 'team/app', tag: 'v1', digest }
const manifestUrl = 'https://harbor.corp/v2/team/app/manifests/v1'
export const notifications = [
  krakenBody(image),
  webhookBody(image, 'Default'),
  webhookBody(image, 'CloudEvents'),
  ...json({
    events: [
      { action: 'push', target: { mediaType: 'x/y', digest, repository: 'team/app', url: manifestUrl, tag: 'v1' } },
    ],
  }),
]
export const dragonflyJobs = json(
  { type: 'preheat', args: { type: 'image', url: manifestUrl, headers: { Authorization: 'Bearer x' }, scope: '' } },
  { type: 'preheat', args: { type: 'file', urls: ['https://files.corp/a'], scope: 'all_peers', percentage: 30 } },
)
export const addresses = ['127.0.0.1', '::1', 'fe80::1%eth0', '::ffff:127.0.0.1', '64:ff9b::7f00:1', '2002:7f00:1::']
export const clusterKeys = [`/key/swarm/psk/1.0.0/\n/base16/\n${hex}\n`]
export const yamls = [
  'mode: [peer, seed]\njoin:\n  - 10.0.0.7\n  - seed-1:4882\nzone: eu/a\ncache-size: 20GiB\n',
  'upstream:\n  - docker.io=https://mirror.corp\n"log-level": debug # why\n',
  'a: &x [1, 2]\nb: *x\n? {c: d}\n: e\n--- \n',
]
export const settings: Readonly<Record<string, readonly string[]>> = {
  size: ['20GiB', '80%', '1048576'],
  rate: ['100MB/s', '1Gbit/s'],
  duration: ['60s', '1h30m', '7d'],
  address: ['127.0.0.1:4880', '[::1]:4880', 'localhost:0'],
  host: ['host.corp', '10.0.0.7', '[fd00::1]'],
  join: ['10.0.0.7', 'seed-1:4882', '/ip4/10.0.0.7/tcp/4882'],
  upstream: ['ghcr.io=https://ghcr.io', 'docker.io=http://10.0.0.7:5000/hub'],
  zone: ['eu', 'eu/a/r1'],
}
