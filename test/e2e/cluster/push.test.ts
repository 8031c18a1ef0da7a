import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { digestOf } from '../../../src/oci/digest.ts'
import { Podman } from '../../lab/engines/containers-image.ts'
import { Dockerd } from '../../lab/engines/dockerd.ts'
import { engineObstacle } from '../../lab/engines/obstacle.ts'
import { type Written, writeImage } from '../../lab/image.ts'
import { Lab } from '../../lab/lab.ts'
import { syntheticLayer } from '../../lab/layers.ts'
import { LabNode } from '../../lab/node.ts'
import { until } from '../../lab/until.ts'

const obstacle = await engineObstacle('pushes by engines', [])
const noPodman = obstacle ?? (await engineObstacle('podman push', ['podman', 'conmon']))
const noDocker = obstacle ?? (await engineObstacle('docker push', ['dockerd', 'docker', 'containerd', 'runc']))
const layerBytes = 5_000_000
const here = '127.0.0.1:4880'
const login = 'ann:correct-horse'

describe.skipIf(obstacle !== undefined)('images that were pushed to a seed', () => {
  let lab: Lab
  let seed: LabNode
  let peer: LabNode
  let images: Written[]

  beforeAll(async () => {
    lab = await Lab.create({ hosts: ['seed', 'host1'] })
    const users = join(lab.dir, 'users')
    const [name, password = ''] = login.split(':')
    writeFileSync(users, `${name}:${await Bun.password.hash(password, { algorithm: 'bcrypt', cost: 4 })}\n`, {
      mode: 0o600,
    })
    images = []
    for (const number of [1, 2, 3]) {
      const layers = [await syntheticLayer(lab.dir, layerBytes, number)]
      images.push(writeImage(join(lab.dir, `image${number}`), 'v1', { layers }))
    }
    const push = ['--home', 'apps.corp/**', '--push', '--push-users-file', users]
    seed = new LabNode({ host: lab.host('seed'), flags: ['--mode', 'scheduler,seed', '--no-mdns', ...push] })
    await seed.ready()
    const join2 = ['--mode', 'peer', '--no-mdns', '--join', lab.host('seed').address]
    peer = new LabNode({ host: lab.host('host1'), flags: join2 })
    await peer.ready()
    await until('the nodes know each other', 20, async () => (await peer.members()) > 0)
  }, 60_000)
  afterAll(() => lab?.close())

  const image = (name: string) => `${here}/apps.corp/team/${name}:v1`
  const skopeo = (...args: string[]) => ['skopeo', '--insecure-policy', ...args]
  const layout = (written: Written) => `oci:${written.dir}:${written.tag}`
  /** On the other host; the digest under which it has come. */
  const pulled = async (name: string) => {
    const folder = join(lab.dir, `pulled-${name}`)
    const from = `docker://${image(name)}`
    await lab.host('host1').exec(skopeo('copy', '--src-tls-verify=false', '--preserve-digests', from, `dir:${folder}`))
    return digestOf(await Bun.file(join(folder, 'manifest.json')).bytes())
  }

  test('by skopeo, with a login and not without, are pulled on another host', async () => {
    const to = ['--dest-tls-verify=false', '--preserve-digests', layout(images[0]!), `docker://${image('skopeo')}`]
    const without = await lab.host('seed').tryExec(skopeo('copy', '--dest-no-creds', ...to))
    expect([without.code, without.stderr]).toEqual([1, expect.stringMatching(/unauthorized|authentication required/i)])
    const wrong = await lab.host('seed').tryExec(skopeo('copy', '--dest-creds', 'ann:wrong', ...to))
    expect(wrong.code).toBe(1)
    await lab.host('seed').exec(skopeo('copy', '--dest-creds', login, ...to))
    expect(await pulled('skopeo')).toBe(images[0]!.digest)
  }, 60_000)

  test.skipIf(noPodman !== undefined)(
    'by podman are pulled on another host',
    async () => {
      const podman = new Podman(lab.host('seed'), { registry: 'unused.lab', mirror: `${here}/unused.lab` })
      const archive = join(lab.dir, 'podman.tar')
      await lab.host('seed').exec(skopeo('copy', layout(images[1]!), `docker-archive:${archive}:localhost/podman:v1`))
      await podman.podman('load', '--input', archive)
      const to = `docker://${image('podman')}`
      await podman.podman('push', '--tls-verify=false', '--creds', login, 'localhost/podman:v1', to)
      // podman packs layers anew.
      expect(await pulled('podman')).toMatch(/^sha256:/)
    },
    60_000,
  )

  test.skipIf(noDocker !== undefined)(
    'by docker, after docker login, are pulled on another host',
    async () => {
      const engine = await Dockerd.start({ host: lab.host('seed'), mirrors: [] })
      const archive = join(lab.dir, 'image.tar')
      await lab.host('seed').exec(skopeo('copy', layout(images[2]!), `docker-archive:${archive}:${image('docker')}`))
      await engine.docker('load', '--input', archive)
      const refused = await engine.docker('push', image('docker')).catch(String)
      expect(refused).toMatch(/unauthorized|no basic auth/i)
      const [name = '', password = ''] = login.split(':')
      const wrong = await engine.docker('login', '--username', name, '--password', 'wrong', here).catch(String)
      expect(wrong).toMatch(/unauthorized/i)
      await engine.docker('login', '--username', name, '--password', password, here)
      await engine.docker('push', image('docker'))
      const [pushed = ''] = await engine.digestsOf(image('docker'))
      expect(pushed.split('@')[1]).toBe(await pulled('docker'))
    },
    60_000,
  )

  test('came through the swarm: nobody in the world was asked for anything', async () => {
    for (const node of [seed, peer]) {
      expect(await node.metric('shoal_source_bytes_total')).toBe(0)
      expect(await node.metric('shoal_source_requests_total')).toBe(0)
    }
    expect(await peer.metric('shoal_peer_received_bytes_total')).toBeGreaterThan(layerBytes)
    expect(await seed.metric('shoal_pushed_bytes_total')).toBeGreaterThan(layerBytes)
  })

  test('are there after the seed was killed', async () => {
    await seed.process.kill()
    seed = new LabNode({
      host: lab.host('seed'),
      flags: ['--mode', 'scheduler,seed', '--no-mdns', '--home', 'apps.corp/**'],
    })
    await seed.ready()
    const folder = join(lab.dir, 'again')
    const from = `docker://${image('skopeo')}`
    await lab.host('seed').exec(skopeo('copy', '--src-tls-verify=false', '--preserve-digests', from, `dir:${folder}`))
    expect(digestOf(await Bun.file(join(folder, 'manifest.json')).bytes())).toBe(images[0]!.digest)
  }, 60_000)
})
