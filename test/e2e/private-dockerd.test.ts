import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type DockerHub, startDockerHub } from '../lab/engines/docker-hub.ts'
import { Dockerd } from '../lab/engines/dockerd.ts'
import { engineDir } from '../lab/engines/enclosure.ts'
import { engineObstacle } from '../lab/engines/obstacle.ts'
import { pushImage, type Written, writeImage } from '../lab/image.ts'
import { Lab } from '../lab/lab.ts'
import { syntheticLayer } from '../lab/layers.ts'
import { LabNode } from '../lab/node.ts'
import { until } from '../lab/until.ts'

const obstacle = await engineObstacle('dockerd and private images', ['dockerd', 'docker', 'containerd', 'openssl'])
const ann = { user: 'ann', password: 'open-sesame' }

describe.skipIf(obstacle !== undefined)('dockerd, which shows no login to mirrors, pulls a private image', () => {
  let lab: Lab
  let hub: DockerHub
  let image: Written
  let engine: Dockerd
  let node: LabNode | undefined
  /** What `docker login` leaves behind. */
  let login: string
  const auths = (key: string) =>
    JSON.stringify({ auths: { [key]: { auth: Buffer.from(`${ann.user}:${ann.password}`).toString('base64') } } })

  beforeAll(async () => {
    lab = await Lab.create({ hosts: ['hub', 'host1'] })
    const host = lab.host('host1')
    hub = await startDockerHub(lab.host('hub'), ann)
    image = writeImage(join(lab.dir, 'layout'), 'v1', { layers: [await syntheticLayer(lab.dir, 1_000_000, 1)] })
    await pushImage(image, '127.0.0.1:443', 'library/app', 'v1', { from: lab.host('hub'), account: ann })
    login = join(engineDir(host, 'docker'), 'client', 'config.json')
    const mirrors = ['http://127.0.0.1:4880']
    engine = await Dockerd.start({ host, mirrors, hosts: hub.hosts, caFile: hub.caFile })
  }, 60_000)
  afterAll(() => lab?.close())

  async function start(...flags: string[]): Promise<void> {
    await node?.process.stop()
    const { registry, caFile } = hub
    const file = join(lab.dir, 'node-login.json')
    // An https URL does not say its usual port.
    writeFileSync(file, auths(registry.address), { mode: 0o600 })
    const own = ['--upstream', `docker.io=${registry.url}`, '--ca-file', caFile, '--credentials-file', file]
    node = await new LabNode({ host: lab.host('host1'), flags: [...own, ...flags] }).ready()
  }
  const sentTo = (client: 'shoal' | 'docker') =>
    hub.registry
      .accesses()
      .filter(
        ({ method, path, status, agent }) =>
          method === 'GET' && /\/blobs\//.test(path) && status === 200 && agent.startsWith(client),
      ).length

  test('through the node when the login of the node counts for root, without one of its own', async () => {
    await start()
    await engine.docker('pull', 'app:v1')
    expect(await engine.digestsOf('app:v1')).toEqual([`app@${image.digest}`])
    expect(sentTo('docker')).toBe(0)
    await engine.docker('image', 'rm', 'app:v1')
  })

  test('not at all when no login counts and it has none, although the node has every byte', async () => {
    await start('--logins-for', 'nobody')
    expect(await engine.docker('pull', 'app:v1').catch(() => 'refused')).toBe('refused')
    expect(await node!.metric('shoal_registry_sent_bytes_total')).toBe(0)
    expect(sentTo('docker')).toBe(0)
  })

  test('from the hub by itself when no login of the node counts, with its own', async () => {
    writeFileSync(login, auths('https://index.docker.io/v1/'), { mode: 0o600 })
    try {
      await engine.docker('pull', 'app:v1')
      expect(await engine.digestsOf('app:v1')).toEqual([`app@${image.digest}`])
      await until('the hub sent it to docker', 5, () => sentTo('docker') > 0)
    } finally {
      rmSync(login, { force: true })
    }
  })
})
