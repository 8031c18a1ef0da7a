import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Digest, digestOf, parseDigest } from '../../src/oci/digest.ts'
import { BlobStorage } from '../fakes/blob-storage.ts'
import { type FakeImage, FakeRegistry, noise } from '../fakes/registry.ts'
import { pushImage, type Written, writeImage } from '../lab/image.ts'
import { scratchRoot } from '../lab/lab.ts'
import { syntheticLayer } from '../lab/layers.ts'
import { LabNode } from '../lab/node.ts'
import { LabRegistry } from '../lab/registry.ts'
import { type Output, tryRun } from '../lab/run.ts'

const missing = ['skopeo', 'curl', 'docker-registry'].filter((program) => !Bun.which(program))
if (missing.length > 0) console.log(`skipped: sources that want credentials: not installed: ${missing.join(', ')}`)

const ann = { user: 'ann', password: 'open-sesame' }
const bob = { user: 'bob', password: 'let-me-in' }
const encoded = ({ user, password }: typeof ann) => Buffer.from(`${user}:${password}`).toString('base64')

describe.skipIf(missing.length > 0)('a node with a credentials file', () => {
  let dir: string
  /** Where blobs are redirected to. */
  let storage: BlobStorage
  /** Gives tokens to Ann. */
  let bearer: FakeRegistry
  /** Gives tokens to Bob. */
  let other: FakeRegistry
  /** Wants Ann's password with every request, and has `storage` send its blobs. */
  let basic: LabRegistry
  let basicImage: Written
  let node: LabNode
  /** The same without credentials, on its own. */
  let stranger: LabNode

  beforeAll(async () => {
    dir = mkdtempSync(join(scratchRoot, 'shoal-private-'))
    storage = new BlobStorage()
    bearer = await FakeRegistry.start({ auth: { kind: 'bearer', ...ann } })
    other = await FakeRegistry.start({ auth: { kind: 'bearer', ...bob } })
    basic = await LabRegistry.start({ dir: join(dir, 'registry'), account: ann, redirect: storage.url })
    basicImage = writeImage(join(dir, 'layout'), 'v1', { layers: [await syntheticLayer(dir, 600_000, 9)] })
    await pushImage(basicImage, basic.hostPort, 'org/app', 'v1', { account: ann })
    const blobs = join(basicImage.dir, 'blobs', 'sha256')
    for (const hex of readdirSync(blobs)) storage.add(parseDigest(`sha256:${hex}`), readFileSync(join(blobs, hex)))

    const login = join(dir, 'config.json')
    const auths = {
      [bearer.host]: { auth: encoded(ann) },
      [other.host]: { auth: encoded(bob) },
      [basic.hostPort]: { auth: encoded(ann) },
    }
    writeFileSync(login, JSON.stringify({ auths }))
    const upstreams = [`bearer.lab=${bearer.url.origin}`, `other.lab=${other.url.origin}`, `basic.lab=${basic.url}`]
    const flags = ['--no-mdns', ...upstreams.flatMap((upstream) => ['--upstream', upstream])]
    const credentials = ['--credentials-file', login]
    node = new LabNode({ address: '127.0.71.1', dir: join(dir, 'node'), flags: [...flags, ...credentials] })
    stranger = new LabNode({ address: '127.0.71.2', dir: join(dir, 'stranger'), flags })
    await Promise.all([node.ready(), stranger.ready()])
  }, 60_000)
  afterEach(() => {
    bearer.mend()
    storage.challenge = undefined
  })
  afterAll(async () => {
    await Promise.all([node?.process.stop(), stranger?.process.stop(), basic?.stop()])
    await Promise.all([bearer?.stop(), other?.stop(), storage?.stop()])
    if (dir) rmSync(dir, { recursive: true, force: true })
  })

  let copies = 0
  /** As skopeo gets it through a node, with nothing of an account of its own. */
  async function copy(from: LabNode, name: string): Promise<Output & { digest?: Digest }> {
    const folder = join(dir, `copy-${++copies}`)
    const source = `docker://${new URL(from.mirror).host}/${name}`
    const options = ['--src-tls-verify=false', '--src-no-creds', '--preserve-digests']
    const output = await tryRun(['skopeo', '--insecure-policy', 'copy', ...options, source, `dir:${folder}`])
    return output.code === 0 ? { ...output, digest: digestOf(readFileSync(join(folder, 'manifest.json'))) } : output
  }

  /** An image with layers of its own, so that no node has any of it; they are redirected if told so. */
  function pushed(registry: FakeRegistry, name: string, seed: number, redirected = false): FakeImage {
    const [repository, tag] = name.split(':')
    const layers = [noise(600_000, seed), noise(300_000, seed + 1)]
    const image = registry.image(repository!, tag!, layers)
    for (const [i, digest] of image.layers.entries()) {
      if (redirected) registry.fault({ path: digest, redirect: storage.url })
      storage.add(digest, layers[i]!)
    }
    return image
  }

  /** Everything that would let somebody else in. */
  const secrets = () => [ann, bob].flatMap((one) => [one.password, encoded(one)]).concat(bearer.tokens, other.tokens)
  const leaked = (text: string) => secrets().filter((secret) => text.includes(secret))
  const carriesSecrets = (request: string) => leaked(request).length > 0 || /^authorization:/im.test(request)

  test('pulls from one that wants a token, and shows the password to the token server alone', async () => {
    const { manifest } = pushed(bearer, 'org/app:v1', 10)
    expect(await copy(node, 'bearer.lab/org/app:v1')).toMatchObject({ digest: manifest })
    const forTokens = bearer.requests.filter(({ path }) => path.startsWith('/token'))
    expect(forTokens.map(({ headers }) => headers.authorization)).toContain(`Basic ${encoded(ann)}`)
    const forContent = bearer.requests.filter((request) => !forTokens.includes(request))
    expect(leaked(JSON.stringify(forContent)).sort()).toEqual([...bearer.tokens].sort())
  })

  test('pulls from one that wants a password, and sends it not to where blobs are redirected to', async () => {
    expect(await copy(node, 'basic.lab/org/app:v1')).toMatchObject({ digest: basicImage.digest })
    expect(storage.seen.length).toBeGreaterThan(0)
    expect(storage.seen.filter(carriesSecrets)).toEqual([])
  })

  test('sends no token to where blobs are redirected to', async () => {
    const { manifest, layers } = pushed(bearer, 'org/app:v2', 20, true)
    expect(await copy(node, 'bearer.lab/org/app:v2')).toMatchObject({ digest: manifest })
    for (const digest of layers) expect(storage.seen.filter((request) => request.includes(digest))).not.toEqual([])
    expect(storage.seen.filter(carriesSecrets)).toEqual([])
  })

  test('does not log in where a redirect leads, whatever is asked for there', async () => {
    const thief = new BlobStorage()
    const before = storage.seen.length
    try {
      storage.challenge = `Bearer realm="${thief.url}/token",service="${bearer.host}"`
      pushed(bearer, 'org/app:v3', 30, true)
      expect((await copy(node, 'bearer.lab/org/app:v3')).code).not.toBe(0)
      storage.challenge = 'Basic realm="storage"'
      pushed(bearer, 'org/app:v4', 40, true)
      expect((await copy(node, 'bearer.lab/org/app:v4')).code).not.toBe(0)
      expect(thief.seen).toEqual([])
      expect(storage.seen.length).toBeGreaterThan(before)
      expect(storage.seen.filter(carriesSecrets)).toEqual([])
    } finally {
      await thief.stop()
    }
  })

  test('keeps what is for one registry from another', async () => {
    const { manifest } = pushed(other, 'org/other:v1', 50)
    expect(await copy(node, 'other.lab/org/other:v1')).toMatchObject({ digest: manifest })
    const sawFrom = (registry: FakeRegistry) => leaked(JSON.stringify(registry.requests)).sort()
    expect(sawFrom(other)).toEqual([encoded(bob), ...other.tokens].sort())
    expect(sawFrom(bearer)).toEqual([encoded(ann), ...bearer.tokens].sort())
  })

  test('writes no secret into its log', () => {
    expect(node.process.logged()).toContain('basic.lab')
    expect(leaked(node.process.logged())).toEqual([])
  })

  test.each(['bearer.lab/org/app:v1', 'basic.lab/org/app:v1', 'other.lab/org/other:v1'])(
    'without credentials gets nothing of %s',
    async (name) => {
      const before = storage.seen.length
      const { code, stderr } = await copy(stranger, name)
      expect(code).not.toBe(0)
      expect(stderr).toMatch(/unauthorized|denied|authentication required|credentials/)
      expect(storage.seen.length).toBe(before)
    },
  )
})
