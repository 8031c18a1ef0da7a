/** The registry source before the fake registry and before Debian's docker-registry. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type SourceFixture, sourceConformance } from '../../test/conformance/source.ts'
import { FakeRegistry, noise } from '../../test/fakes/registry.ts'
import { freePort } from '../../test/lab/free-port.ts'
import { seededRandom, systemClock } from '../clock.ts'
import { digestOf } from '../oci/digest.ts'
import { manifestTypes } from '../oci/media.ts'
import { repositoryOf } from '../oci/reference.ts'
import { silentLog } from '../telemetry/log.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import { RegistrySource } from './registry-source.ts'

const layer = noise(3 * 1024 * 1024 + 17, 7)
const tags = ['a', 'b', 'v1']
const user = 'me'
const password = 'hunter2'

function sourceAt(host: string, credentialsFile?: string): RegistrySource {
  return new RegistrySource({
    upstreams: new Map([[host, [{ url: new URL(`http://${host}`) }]]]),
    onlyListed: true,
    clock: systemClock,
    random: seededRandom(1),
    log: silentLog,
    metrics: createMetrics(),
    ...(credentialsFile === undefined ? {} : { credentialsFile }),
  })
}

sourceConformance('RegistrySource over the fake registry', async (): Promise<SourceFixture> => {
  const registry = await FakeRegistry.start({ auth: { kind: 'bearer' } })
  const { manifestBytes } = registry.image('org/app', 'v1', [layer])
  for (const tag of tags) registry.manifest('org/app', tag, manifestBytes, manifestTypes.ociManifest)
  return {
    source: sourceAt(registry.host),
    repository: repositoryOf(registry.host, 'org/app'),
    tag: 'v1',
    manifest: manifestBytes,
    layer,
    stop: () => registry.stop(),
  }
})

const program = Bun.which('docker-registry')
if (program === null) {
  console.warn('skipped: RegistrySource over docker-registry, which is not installed (apt-get install docker-registry)')
} else {
  sourceConformance('RegistrySource over docker-registry', () => dockerRegistry(program))
}

async function dockerRegistry(program: string): Promise<SourceFixture> {
  const folder = await mkdtemp(join(tmpdir(), 'shoal-registry-'))
  const host = `127.0.0.1:${freePort()}`
  const config = {
    version: 0.1,
    storage: { filesystem: { rootdirectory: folder } },
    http: { addr: host },
    auth: { htpasswd: { realm: 'shoal test', path: join(folder, 'htpasswd') } },
    log: { level: 'error', accesslog: { disabled: true } },
  }
  const auth = Buffer.from(`${user}:${password}`).toString('base64')
  const hash = await Bun.password.hash(password, { algorithm: 'bcrypt', cost: 4 })
  await writeFile(join(folder, 'htpasswd'), `${user}:${hash}\n`)
  await writeFile(join(folder, 'config.json'), JSON.stringify({ auths: { [host]: { auth } } }))
  await writeFile(join(folder, 'config.yml'), JSON.stringify(config))
  const child = Bun.spawn([program, 'serve', join(folder, 'config.yml')], { stdout: 'ignore', stderr: 'ignore' })
  const stop = async () => {
    child.kill()
    await child.exited
    await rm(folder, { recursive: true, force: true })
  }
  try {
    const base = `http://${host}/v2/org/app`
    await listening(`http://${host}/v2/`)
    const manifest = await pushImage(base, { authorization: `Basic ${auth}` })
    return {
      source: sourceAt(host, join(folder, 'config.json')),
      repository: repositoryOf(host, 'org/app'),
      tag: 'v1',
      manifest,
      layer,
      stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}

async function pushImage(base: string, login: Record<string, string>): Promise<Uint8Array> {
  const config = Buffer.from('{"os":"linux","architecture":"amd64"}')
  for (const blob of [config, layer]) {
    const begun = await fetch(`${base}/blobs/uploads/`, { method: 'POST', headers: login })
    const to = new URL(begun.headers.get('location')!, base)
    to.searchParams.set('digest', digestOf(blob))
    const put = await fetch(to, {
      method: 'PUT',
      body: blob,
      headers: { ...login, 'content-type': 'application/octet-stream' },
    })
    if (put.status !== 201) throw new Error(`docker-registry took no blob: ${put.status} ${await put.text()}`)
  }
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: manifestTypes.ociManifest,
      config: {
        mediaType: 'application/vnd.oci.image.config.v1+json',
        digest: digestOf(config),
        size: config.length,
      },
      layers: [{ mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: digestOf(layer), size: layer.length }],
    }),
  )
  for (const tag of tags) {
    const headers = { ...login, 'content-type': manifestTypes.ociManifest }
    const put = await fetch(`${base}/manifests/${tag}`, { method: 'PUT', body: manifest, headers })
    if (put.status !== 201) throw new Error(`docker-registry took no manifest: ${put.status} ${await put.text()}`)
  }
  return manifest
}

async function listening(url: string): Promise<void> {
  for (let tried = 0; tried < 200; tried++) {
    const answer = await fetch(url).catch(() => undefined)
    if (answer?.status === 401) return
    await Bun.sleep(50)
  }
  throw new Error(`docker-registry did not come up at ${url}`)
}
