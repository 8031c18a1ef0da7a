import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Digest, hexOf } from '../../src/oci/digest.ts'
import { manifestTypes } from '../../src/oci/media.ts'
import { pushImage, type Written, writeImage } from '../lab/image.ts'
import { scratchRoot } from '../lab/lab.ts'
import { syntheticLayer } from '../lab/layers.ts'
import { LabNode } from '../lab/node.ts'
import { LabRegistry } from '../lab/registry.ts'
import { tryRun } from '../lab/run.ts'
import { until } from '../lab/until.ts'

const missing = ['skopeo', 'curl', 'docker-registry', 'setpriv'].filter((program) => !Bun.which(program))
if (process.getuid?.() !== 0) missing.push('root, to be somebody else')
if (missing.length > 0) console.log(`skipped: tricks for private images: not there: ${missing.join(', ')}`)

const ann = { user: 'ann', password: 'open-sesame' }
const shown = `${ann.user}:${ann.password}`
/** Not root, and not the user of the node. */
const somebody = ['setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups']

/** A registry that anybody could run: it says yes to everything, and has nothing. */
function startLiar() {
  const baits = new Map<string, { digest: string; bytes: Uint8Array; type: string }>()
  const sizes = new Map<string, number>()
  const server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    fetch(request) {
      const name = new URL(request.url).pathname.split('/').at(-1)!
      const bait = baits.get(name)
      const size = bait?.bytes.length ?? sizes.get(bait?.digest ?? name) ?? 1000
      const headers = {
        'content-type': bait?.type ?? 'application/octet-stream',
        'content-length': String(size),
        'docker-content-digest': bait?.digest ?? name,
      }
      if (request.method === 'HEAD') return new Response(null, { headers })
      return new Response(new Uint8Array(bait?.bytes ?? new Uint8Array(size)), { headers })
    },
  })
  return { url: `http://127.0.0.1:${server.port}`, baits, sizes, stop: () => server.stop(true) }
}

describe.skipIf(missing.length > 0)('who has no rights to a private image and knows all its digests', () => {
  let dir: string
  let corp: LabRegistry
  let open: LabRegistry
  let liar: ReturnType<typeof startLiar>
  let node: LabNode
  let image: Written
  let layer: Digest
  let layerBytes: Buffer
  let manifestBytes: Buffer

  beforeAll(async () => {
    dir = mkdtempSync(join(scratchRoot, 'shoal-tricks-'))
    corp = await LabRegistry.start({ dir: join(dir, 'corp'), account: ann })
    open = await LabRegistry.start({ dir: join(dir, 'open') })
    liar = startLiar()
    const [secret, common] = await Promise.all([1, 2].map((seed) => syntheticLayer(dir, 400_000, seed)))
    layer = secret!.digest
    image = writeImage(join(dir, 'secret'), 'v1', { layers: [secret!] })
    const blob = (digest: Digest) => readFileSync(join(image.dir, 'blobs', 'sha256', hexOf(digest)))
    layerBytes = blob(layer)
    manifestBytes = blob(image.digest)
    for (const name of ['org/app', 'org/other']) await pushImage(image, corp.hostPort, name, 'v1', { account: ann })
    await pushImage(writeImage(join(dir, 'common'), 'v1', { layers: [common!] }), open.hostPort, 'org/common', 'v1')
    const login = join(dir, 'config.json')
    const auth = Buffer.from(shown).toString('base64')
    writeFileSync(login, JSON.stringify({ auths: { [corp.hostPort]: { auth } } }), { mode: 0o600 })
    const upstreams = [`corp.lab=${corp.url}`, `open.lab=${open.url}`, `liar.lab=${liar.url}`]
    const flags = ['--no-mdns', '--credentials-file', login, ...upstreams.flatMap((one) => ['--upstream', one])]
    node = await new LabNode({ address: '127.0.73.1', dir: join(dir, 'node'), flags }).ready()
    // All of it is here, had by root with the login of the node, and by Ann with her own.
    for (const who of [[], ['--user', shown]]) {
      for (const what of [`manifests/v1`, `blobs/${layer}`]) await ask([`/v2/corp.lab/org/app/${what}`, ...who], [])
    }
    await ask(['/v2/open.lab/org/common/manifests/v1'])
  }, 60_000)
  afterAll(async () => {
    await Promise.all([node?.process.stop(), corp?.stop(), open?.stop(), liar?.stop()])
    if (dir) rmSync(dir, { recursive: true, force: true })
  })

  /** What curl got for `[path, ...options]`: the status, and whether there is anything of the image in the body. */
  async function ask([path, ...options]: readonly string[], who: readonly string[] = somebody, at = node) {
    const file = join(dir, `body-${crypto.randomUUID()}`)
    writeFileSync(file, '', { mode: 0o666 })
    await tryRun(['chmod', '0666', file])
    await tryRun(['chmod', '0755', dir])
    const command = ['curl', '--silent', '--path-as-is', '--globoff', '--output', file, '--write-out', '%{http_code}']
    const { stdout } = await tryRun([...who, ...command, ...options, `${at.mirror}${path}`])
    const body = readFileSync(file)
    rmSync(file)
    // Of the manifest what nobody can make up from the digests of the layers: that of the config.
    const config = Buffer.from(JSON.parse(manifestBytes.toString()).config.digest)
    const pieces = [config, ...[0, 1000, 200_000, 399_000].map((at) => layerBytes.subarray(at, at + 64))]
    return { status: Number(stdout), leaks: pieces.some((piece) => body.includes(piece)) }
  }
  async function tricks(...requests: readonly (readonly string[])[]) {
    for (const request of requests) {
      const got = await ask(request)
      expect({ request, ...got }).toEqual({ request, status: expect.any(Number), leaks: false })
      // A conditional request would tell that it is here.
      expect({ request, status: got.status }).not.toEqual({ request, status: 304 })
    }
  }
  const named = (name: string) => [
    [`/v2/${name}/manifests/v1`],
    [`/v2/${name}/manifests/${image.digest}`],
    [`/v2/${name}/blobs/${layer}`],
    [`/v2/${name}/blobs/${layer}`, '--range', '1000-1999'],
  ]
  const inQuery = (name: string, query: string) => named(name).map(([path, ...rest]) => [`${path}?${query}`, ...rest])

  test('who has them has it: this would be noticed', async () => {
    for (const request of named('corp.lab/org/app')) {
      expect(await ask([...request, '--user', shown])).toMatchObject({ leaks: true })
    }
    expect(await ask(['/v2/open.lab/org/common/manifests/v1'])).toEqual({ status: 200, leaks: false })
  })

  test('has nothing by writing its name otherwise', async () => {
    const names = [
      'CORP.LAB/org/app',
      'Corp.Lab/ORG/App',
      'corp.lab./org/app',
      'corp.lab:80/org/app',
      'corp%2elab/org/app',
    ]
    const more = [
      'corp.lab%2Forg/app',
      'corp.lab/org%2fapp',
      '%63orp.lab/org/app',
      'corp.lab//org/app',
      '/corp.lab/org/app',
    ]
    const dots = ['open.lab/../corp.lab/org/app', 'open.lab/org/common/../../../corp.lab/org/app', './corp.lab/org/app']
    for (const name of [...names, ...more, ...dots]) await tricks(...named(name))
    await tricks(...named('corp.lab/org/app').map(([path, ...rest]) => [`${path}/`, ...rest]))
    await tricks([`/v2/corp.lab/org/app/blobs/${layer.toUpperCase()}`], [`/v2/corp.lab/org/app/blobs/${hexOf(layer)}`])
    await tricks([`/V2/corp.lab/org/app/blobs/${layer}`], [`/v2/corp.lab/org/app/blobs/${layer}#x`])
  }, 60_000)

  test('has nothing by naming the registry in the query', async () => {
    for (const ns of ['corp.lab', 'CORP.LAB', 'corp.lab.', 'corp.lab%00', '%63orp.lab', ' corp.lab', 'corp.lab/org']) {
      const encoded = ns.replace(' ', '%20')
      await tricks(...inQuery('org/app', `ns=${encoded}`))
      await tricks(...inQuery('open.lab/org/common', `ns=${encoded}`))
    }
    await tricks(...inQuery('org/app', 'ns=open.lab&ns=corp.lab'), ...inQuery('org/app', 'ns=corp.lab&ns=open.lab'))
    await tricks(...inQuery('corp.lab/org/app', 'ns=open.lab'), ...inQuery('corp.lab/org/app', 'ns='))
    await tricks(...inQuery('org/app', 'NS=corp.lab'), ...inQuery('corp.lab/org/app', 'ns=corp.lab'))
  }, 60_000)

  test('has nothing by asking for its digests elsewhere', async () => {
    for (const name of ['open.lab/org/common', 'open.lab/org/none', 'corp.lab/org/other', 'corp.lab/org/none']) {
      await tricks(...named(name))
    }
    const from = `mount=${layer}&from=corp.lab/org/app`
    await tricks([`/v2/open.lab/org/common/blobs/uploads/?${from}`, '--request', 'POST'])
    await tricks([`/v2/open.lab/org/common/blobs/uploads/${layer}?${from}`, '--request', 'PUT'])
    await tricks([`/v2/open.lab/org/common/referrers/${image.digest}`], [`/v2/corp.lab/org/app/referrers/${layer}`])
    await tricks(['/v2/corp.lab/org/app/tags/list'], ['/v2/_catalog'])
  }, 60_000)

  test('has nothing by what it says about itself', async () => {
    const lies = [
      ...[':', 'ann:', ':open-sesame', 'ann:wrong', 'ANN:open-sesame'].map((user) => ['--user', user]),
      ...['Bearer', 'Basic', 'Basic Og==', 'Bearer ann', `Digest ${shown}`, `Basic ${shown}`].map((value) => [
        ...['--header', `Authorization: ${value}`],
      ]),
      [
        '--header',
        'X-Forwarded-For: 127.0.0.1',
        '--header',
        'X-Real-IP: 127.0.0.1',
        '--header',
        'Forwarded: for=localhost',
      ],
      ['--header', 'Host: corp.lab', '--header', 'X-Forwarded-Host: corp.lab'],
      ['--request-target', `http://corp.lab/v2/org/app/blobs/${layer}`],
      ['--header', 'If-None-Match: *'],
      ['--header', `If-None-Match: "${layer}"`],
      ['--header', `If-Range: "${layer}"`, '--range', '0-99,1000-1999'],
      ['--request', 'HEAD', '--head'],
      ['--request', 'OPTIONS'],
    ]
    for (const lie of lies) await tricks(...named('corp.lab/org/app').map((request) => [...request, ...lie]))
  }, 60_000)

  test('has nothing by a registry of its own that claims everything', async () => {
    const { baits, sizes } = liar
    const type = manifestTypes.ociManifest
    sizes.set(layer, layerBytes.length).set(image.digest, manifestBytes.length)
    const descriptor = (digest: string, size: number, mediaType: string) => ({ digest, size, mediaType })
    const of = (manifest: object) => {
      const bytes = Buffer.from(JSON.stringify(manifest))
      return {
        bytes,
        type: String((manifest as { mediaType: string }).mediaType),
        digest: `sha256:${Bun.SHA256.hash(bytes, 'hex')}`,
      }
    }
    const part = descriptor(layer, layerBytes.length, 'application/vnd.oci.image.layer.v1.tar+gzip')
    const lists = of({ schemaVersion: 2, mediaType: type, config: part, layers: [part] })
    const points = of({
      schemaVersion: 2,
      mediaType: manifestTypes.ociIndex,
      manifests: [descriptor(image.digest, manifestBytes.length, type)],
    })
    for (const [tag, bait] of [
      ['lists', lists],
      ['points', points],
    ] as const) {
      baits.set(tag, bait).set(bait.digest, bait)
      // The bait itself is given: it is that registry's.
      expect(await ask([`/v2/liar.lab/x/y/manifests/${tag}`])).toEqual({ status: 200, leaks: false })
      await tricks(...named('liar.lab/x/y'))
    }
    // A tag that is said to point to the private manifest itself.
    baits.set('v1', { digest: image.digest, type, bytes: new Uint8Array(manifestBytes.length) })
    await tricks(...named('liar.lab/x/y'), ...inQuery('x/y', 'ns=liar.lab'))
    const before = await tryRun([
      'curl',
      '--silent',
      '--user',
      shown,
      '--output',
      '/dev/null',
      '--write-out',
      '%{http_code}',
      `${node.mirror}/v2/corp.lab/org/app/blobs/${layer}`,
    ])
    expect(before.stdout).toBe('200')
  }, 60_000)

  test('has nothing of another node either, which has never heard of the image and fetches from this one', async () => {
    const address = '127.0.73.2'
    const others = ['--upstream', `corp.lab=${corp.url}`, '--upstream', `liar.lab=${liar.url}`]
    const flags = ['--no-mdns', '--join', node.p2p, ...others]
    const other = await new LabNode({ address, dir: join(dir, 'other'), flags }).ready()
    try {
      await until(
        'the nodes know each other',
        60,
        async () => (await other.metric('shoal_members', { mode: 'seed' })) >= 2,
      )
      liar.baits.clear()
      liar.sizes.set(layer, layerBytes.length).set(image.digest, manifestBytes.length)
      for (const what of [`blobs/${layer}`, `manifests/${image.digest}`]) {
        const lied = async () => {
          const got = await ask([`/v2/liar.lab/x/y/${what}`, '--max-time', '10'], somebody, other)
          expect({ what, leaks: got.leaks }).toEqual({ what, leaks: false })
        }
        const received = () => other.metric('shoal_peer_received_bytes_total')
        const before = await received()
        // Until it has been there, or nothing was tried: the scheduler may have to hear first who has it.
        await until(`the other node has fetched ${what}`, 30, async () => {
          await lied()
          return (await received()) > before
        })
        await lied()
        expect(await ask([`/v2/corp.lab/org/app/${what}`, '--user', shown], somebody, other)).toEqual({
          status: 200,
          leaks: true,
        })
      }
    } finally {
      await other.process.stop()
    }
  }, 180_000)

  test('leaves who has them with all of it', async () => {
    for (const request of named('corp.lab/org/app')) {
      expect(await ask([...request, '--user', shown])).toMatchObject({ leaks: true })
    }
  }, 60_000)
})
