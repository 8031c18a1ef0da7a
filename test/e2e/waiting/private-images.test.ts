import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Digest, hexOf } from '../../../src/oci/digest.ts'
import { pushImage, type Written, writeImage } from '../../lab/image.ts'
import { scratchRoot } from '../../lab/lab.ts'
import { syntheticLayer } from '../../lab/layers.ts'
import { LabNode, sumOf } from '../../lab/node.ts'
import { LabRegistry } from '../../lab/registry.ts'
import { type Output, tryRun } from '../../lab/run.ts'
import { until } from '../../lab/until.ts'

const missing = ['skopeo', 'curl', 'docker-registry', 'setpriv'].filter((program) => !Bun.which(program))
if (process.getuid?.() !== 0) missing.push('root, to be somebody else')
if (missing.length > 0) console.log(`skipped: private images: not there: ${missing.join(', ')}`)

const ann = { user: 'ann', password: 'open-sesame' }
const shown = (password: string) => `${ann.user}:${password}`
/** Not root, and not the user of the node. */
const somebody = ['setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups']

interface Got {
  readonly status: number
  readonly bytes: number
}

describe.skipIf(missing.length > 0)('of a private image that a node has', () => {
  let dir: string
  let registry: LabRegistry
  let image: Written
  let manifestBytes: number
  let layerBytes: number
  let layer: Digest
  let node: LabNode
  /** The same without a login. */
  let bare: LabNode

  const start = () => LabRegistry.start({ dir: join(dir, 'registry'), account: ann, port: 15072, address: '127.0.0.1' })

  beforeAll(async () => {
    dir = mkdtempSync(join(scratchRoot, 'shoal-rights-'))
    registry = await start()
    const synthetic = await syntheticLayer(dir, 600_000, 3)
    layer = synthetic.digest
    layerBytes = synthetic.size
    image = writeImage(join(dir, 'layout'), 'v1', { layers: [synthetic] })
    manifestBytes = statSync(join(image.dir, 'blobs', 'sha256', hexOf(image.digest))).size
    for (const name of ['org/app', 'org/other']) await pushImage(image, registry.hostPort, name, 'v1', { account: ann })
    const login = join(dir, 'config.json')
    const auth = Buffer.from(shown(ann.password)).toString('base64')
    writeFileSync(login, JSON.stringify({ auths: { [registry.hostPort]: { auth } } }), { mode: 0o600 })
    const flags = ['--no-mdns', '--upstream', `corp.lab=${registry.url}`]
    const withLogin = [...flags, '--credentials-file', login]
    node = new LabNode({ address: '127.0.72.1', dir: join(dir, 'node'), flags: withLogin })
    bare = new LabNode({ address: '127.0.72.2', dir: join(dir, 'bare'), flags, env: { HOME: dir } })
    await Promise.all([node.ready(), bare.ready()])
  }, 60_000)
  afterAll(async () => {
    await Promise.all([node?.process.stop(), bare?.process.stop(), registry?.stop()])
    if (dir) rmSync(dir, { recursive: true, force: true })
  })

  const paths = () => [`manifests/v1`, `manifests/${image.digest}`, `blobs/${layer}`]
  /** `GET` of something of an image, by whom, with what they show. */
  async function get(path: string, who: readonly string[], password?: string, name = 'org/app'): Promise<Got> {
    const show = password === undefined ? [] : ['--user', shown(password)]
    const url = `${node.mirror}/v2/corp.lab/${name}/${path}`
    const command = ['curl', '--silent', '--output', '/dev/null', '--write-out', '%{http_code} %{size_download}']
    const { stdout } = await tryRun([...who, ...command, ...show, url])
    const [status, bytes] = stdout.split(' ').map(Number)
    return { status: status!, bytes: status === 200 ? bytes! : 0 }
  }
  const all = (who: readonly string[], password?: string) =>
    Promise.all(paths().map((path) => get(path, who, password)))
  const nothing = (status: number) => paths().map(() => ({ status, bytes: 0 }))
  const everything = () => [
    { status: 200, bytes: manifestBytes },
    { status: 200, bytes: manifestBytes },
    { status: 200, bytes: layerBytes },
  ]

  let copies = 0
  const skopeo = (...options: string[]) => skopeoFrom(node, ...options)
  function skopeoFrom(mirror: LabNode, ...options: string[]): Promise<Output> {
    const from = `docker://${new URL(mirror.mirror).host}/corp.lab/org/app:v1`
    const copy = ['skopeo', '--insecure-policy', 'copy', '--src-tls-verify=false', ...options]
    return tryRun([...copy, from, `dir:${join(dir, `copy-${++copies}`)}`])
  }
  /** Questions about rights that the node asked, and requests that the registry answered it. */
  const checks = async () => sumOf(await node.get('/metrics'), 'shoal_rights_checks_total')

  test('root has all by the login of the node, which root could read by itself', async () => {
    expect((await skopeo('--src-no-creds')).code).toBe(0)
    expect((await all([])).map(({ status }) => status)).toEqual([200, 200, 200])
    expect(statSync(join(dir, 'config.json')).mode & 0o077).toBe(0)
  })

  test('another user of the host has nothing, by tag, by digest, and under another name', async () => {
    expect(await all(somebody)).toEqual(nothing(401))
    expect(await get(`blobs/${layer}`, somebody, undefined, 'org/other')).toEqual({ status: 401, bytes: 0 })
    expect(await get('tags/list', somebody)).toEqual({ status: 401, bytes: 0 })
  })

  test('who shows a wrong password has nothing, root included', async () => {
    expect(await all([], 'guess')).toEqual(nothing(404))
    expect(await all(somebody, 'guess')).toEqual(nothing(404))
    expect((await skopeo('--src-creds', shown('guess'))).code).not.toBe(0)
  })

  test('who shows what the registry wants has all, for one question a minute', async () => {
    const before = await checks()
    for (let i = 0; i < 10; i++) expect(await all(somebody, ann.password)).toMatchObject(everything())
    expect((await skopeo('--src-creds', shown(ann.password))).code).toBe(0)
    expect((await checks()) - before).toBeLessThanOrEqual(2)
  })

  test('the index of a layer, which names its files, is for those who have the layer', async () => {
    const index = `_shoal/lazy/${layer}/index`
    await until('it is made', 20, async () => (await get(index, [])).status === 200)
    expect(await get(index, somebody)).toEqual({ status: 401, bytes: 0 })
    expect(await get(index, somebody, 'guess')).toEqual({ status: 404, bytes: 0 })
    expect((await get(index, somebody, ann.password)).status).toBe(200)
    expect(await get(`_shoal/lazy/${layer}/reads`, somebody)).toEqual({ status: 401, bytes: 0 })
  }, 30_000)

  test('who shows it to a node without a login has all through that node, and the next one nothing', async () => {
    expect((await skopeoFrom(bare, '--src-creds', shown(ann.password))).code).toBe(0)
    expect((await skopeoFrom(bare, '--src-no-creds')).code).not.toBe(0)
    expect((await skopeoFrom(bare, '--src-creds', shown('guess'))).code).not.toBe(0)
    for (const secret of [ann.password, Buffer.from(shown(ann.password)).toString('base64')]) {
      expect(bare.process.logged()).not.toContain(secret)
    }
    expect((await tryRun(['grep', '--recursive', '--quiet', ann.password, bare.dataDir])).code).toBe(1)
  })

  test('the node leaves no password in its log or on its disk', async () => {
    await all(somebody, 'a-very-private-guess')
    const files = await tryRun(['grep', '--recursive', '--files-with-matches', 'a-very-private-guess', node.dataDir])
    expect(files.stdout).toBe('')
    for (const secret of [ann.password, 'a-very-private-guess', Buffer.from(shown(ann.password)).toString('base64')]) {
      expect(node.process.logged()).not.toContain(secret)
    }
  })

  test('who had it still has it while the registry is down, and others still have not', async () => {
    await registry.kill()
    try {
      expect(await all(somebody, ann.password)).toMatchObject(everything())
      expect((await all([])).map(({ status }) => status)).toEqual([200, 200, 200])
      expect((await all(somebody)).map(({ bytes }) => bytes)).toEqual([0, 0, 0])
      expect((await all([], 'guess')).map(({ bytes }) => bytes)).toEqual([0, 0, 0])
    } finally {
      registry = await start()
    }
  })

  test('who loses the rights has nothing a minute later', async () => {
    expect(await all(somebody, ann.password)).toMatchObject(everything())
    const hash = await Bun.password.hash('another', { algorithm: 'bcrypt', cost: 4 })
    writeFileSync(join(dir, 'registry', 'htpasswd'), `${ann.user}:${hash}\n`)
    await until('the password of before is refused', 75, async () => {
      const got = await get(`blobs/${layer}`, somebody, ann.password)
      return got.status !== 200
    })
    await until(
      'the node notices that its own login is refused',
      75,
      async () => (await get('manifests/v1', [])).bytes === 0,
    )
    expect((await all(somebody, ann.password)).map(({ bytes }) => bytes)).toEqual([0, 0, 0])
    expect((await get(`blobs/${layer}`, somebody, 'another')).bytes).toBe(layerBytes)
  }, 180_000)
})
