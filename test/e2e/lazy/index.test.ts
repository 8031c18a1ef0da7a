/** Indexes of layers among real nodes, each on a host of its own: made once, had by all, and never believed when wrong. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { systemClock } from '../../../src/clock.ts'
import { Identity } from '../../../src/cluster/identity.ts'
import { decodeIndex } from '../../../src/layer-index/decode.ts'
import { keepFile } from '../../../src/lazy/kept.ts'
import { Ledger } from '../../../src/lazy/ledger.ts'
import { state } from '../../../src/lazy/statement.ts'
import { type Digest, digestOf, hexOf } from '../../../src/oci/digest.ts'
import { DiskStore } from '../../../src/store/disk-store.ts'
import { silentLog } from '../../../src/telemetry/log.ts'
import { Cluster } from '../../lab/cluster.ts'
import { Lab } from '../../lab/lab.ts'
import type { LabNode } from '../../lab/node.ts'
import { until } from '../../lab/until.ts'

const obstacle = await Lab.obstacle()
if (obstacle) console.log(`skipped: indexes of layers: ${obstacle}`)

interface Asked {
  readonly status: number
  readonly headers: Record<string, string>
  readonly file: string
}

type Layer = () => Cluster['layer']

interface Layers {
  readonly layers: readonly { readonly digest: Digest; readonly state: string; readonly by?: string }[]
}

describe.skipIf(obstacle !== undefined)('the index of a layer', () => {
  let cluster: Cluster
  let asks = 0

  const seeds = ['seed1', 'seed2']
  const peers = ['peer1', 'peer2']
  /** Asks for nothing before the others have asked. */
  const late = 'peer3'
  beforeAll(async () => {
    const members = [
      ...seeds.map((name) => ({ name, mode: 'scheduler,seed' })),
      ...[...peers, late].map((name) => ({ name, mode: 'peer' })),
    ]
    // So long that a seed can be killed before the layer is there.
    cluster = await Cluster.create({ members, discovery: 'join', size: 24e6, layers: 3, registryRate: '40mbit' })
    await cluster.start()
  }, 60_000)
  afterAll(() => cluster?.close())

  const pathOf = (layer: Digest, what: string) => `/v2/registry.lab/lab/image/_shoal/lazy/${layer}/${what}`

  async function ask(name: string, layer: Digest, ...more: string[]): Promise<Asked> {
    const host = cluster.lab.host(name)
    const file = join(host.dir, `asked-${asks++}`)
    const url = `${cluster.node(name).mirror}${pathOf(layer, 'index')}`
    const command = ['curl', '--silent', '--max-time', '20', '--output', file, '--dump-header', '-', ...more, url]
    const [first = '', ...lines] = (await host.exec(command)).trim().split('\r\n')
    const headers = Object.fromEntries(lines.map((line) => line.toLowerCase().split(': ')))
    return { status: Number(first.split(' ')[1]), headers, file }
  }

  async function indexed(name: string, layer: Digest): Promise<Asked> {
    let asked = await ask(name, layer)
    await until(`${name} has the index of ${layer}`, 30, async () => {
      asked = await ask(name, layer)
      return asked.status !== 202
    })
    return asked
  }

  const idOf = async (node: LabNode) => (JSON.parse(await node.get('/api/v1/node')) as { id: string }).id
  const known = async (name: string) => JSON.parse(await cluster.node(name).get('/api/v1/layers')) as Layers
  const [small, middle, large] = [0, 1, 2].map((i) => () => cluster.layers[i]!) as [Layer, Layer, Layer]

  test('is made once for sixteen who ask at once, comes to each host through the swarm, and the source sends the layer once', async () => {
    const { digest, size } = small()
    const askers = Array.from({ length: 16 }, (_, i) => peers[i % 2]!)
    const answers = await Promise.all(askers.map((name) => indexed(name, digest)))
    expect(answers.map(({ status }) => status)).toEqual(askers.map(() => 200))
    const [bytes, ...others] = answers.map(({ file }) => readFileSync(file))
    for (const other of others) expect(other.equals(bytes!)).toBe(true)
    expect(answers[0]!.headers['shoal-index-digest']).toBe(digestOf(bytes!))
    const index = decodeIndex(bytes!)
    expect([index.layer, index.compression, index.compressedSize]).toEqual([digest, 'gzip', size])
    expect(await cluster.total('shoal_layer_indexes_made_total')).toBe(1)
    const sent = cluster.registry.sent(({ method, path }) => method === 'GET' && path.includes(hexOf(digest)))
    expect([...sent.values()].reduce((sum, { bytes }) => sum + bytes, 0)).toBe(size)
    const range = await ask('peer1', digest, '--range', '10-19')
    expect(range.headers['content-range']).toBe(`bytes 10-19/${bytes!.length}`)
    expect(readFileSync(range.file).equals(bytes!.subarray(10, 20))).toBe(true)
  }, 60_000)

  test('says which chunks starts read first, on every host what one was told', async () => {
    const url = (name: string) => `${cluster.node(name).mirror}${pathOf(small().digest, 'reads')}`
    const put = ['curl', '--silent', '--fail', '--request', 'PUT', '--data', '[2,0,1]', url('peer1')]
    await cluster.lab.host('peer1').exec(put)
    expect(await cluster.lab.host('peer2').get(url('peer2'))).toBe('[2,0,1]')
  })

  test('of which a byte was flipped on the disk of a host is right again when it is asked for', async () => {
    const { digest } = small()
    const right = readFileSync((await ask('peer1', digest)).file)
    const hex = hexOf(digestOf(right))
    const path = join(cluster.node('peer1').dataDir, 'blobs', 'sha256', hex.slice(0, 2), hex)
    const wrong = readFileSync(path)
    wrong[wrong.length >> 1]! ^= 1
    writeFileSync(path, wrong)
    const again = await indexed('peer1', digest)
    expect([again.status, digestOf(readFileSync(again.file))]).toEqual([200, digestOf(right)])
  }, 30_000)

  test('is made by another seed when the one that was making it is killed', async () => {
    const { digest } = large()
    expect((await ask('peer1', digest)).status).toBe(202)
    let making: string | undefined
    await until('a seed is at it', 20, async () => {
      for (const name of seeds) {
        const { layers } = await known(name)
        if (layers.some((layer) => layer.digest === digest && layer.state === 'making')) making = name
      }
      return making !== undefined
    })
    const other = seeds.find((name) => name !== making)!
    await cluster.node(making!).process.kill()
    const asked = await indexed('peer1', digest)
    expect(asked.status).toBe(200)
    expect(asked.headers['shoal-index-signer']).toBe((await idOf(cluster.node(other))).toLowerCase())
    const { layers } = await known('peer1')
    expect(layers.find((layer) => layer.digest === digest)).toMatchObject({
      state: 'indexed',
      by: await idOf(cluster.node(other)),
    })
  }, 90_000)

  test('is made unasked once nothing else is to be done, of what engines have pulled', async () => {
    const { digest } = middle()
    const of = async (name: string) => (await known(name)).layers.find((layer) => layer.digest === digest)
    expect((await cluster.pull('peer2')).bytes).toBeGreaterThan(24e6)
    const seed = seeds.find((name) => cluster.node(name).process.running)!
    await until('the seed has made it', 30, async () => (await of(seed))?.state === 'indexed')
    expect(await of('peer2')).toBeUndefined()
    expect((await ask('peer2', digest)).status).toBe(200)
  }, 60_000)

  test('that its seed has not made from the layer is found out where the layer is whole: the seed is banned, and another makes it', async () => {
    const { digest } = small()
    for (const name of seeds) {
      if (!cluster.node(name).process.running) await cluster.launch(name).ready()
    }
    const right = await ask('peer1', digest)
    const ids = await Promise.all(seeds.map((name) => idOf(cluster.node(name))))
    const liar = ids.findIndex((id) => id.toLowerCase() === right.headers['shoal-index-signer'])
    const name = seeds[liar]!
    await cluster.node(name).process.stop()
    const forged = await forge(cluster.node(name).dataDir, digest, readFileSync(right.file))
    await cluster.launch(name).ready()
    await cluster.acquainted()
    await until('the forged index comes', 20, async () => {
      const { status, headers } = await indexed(late, digest)
      return status === 200 && headers['shoal-index-digest'] === forged
    })
    await cluster.pull(late)
    const bans = async () =>
      (JSON.parse(await cluster.node(late).get('/api/v1/bans')) as { bans: { node: string }[] }).bans
    await until('the seed is banned', 30, async () => (await bans()).length > 0)
    expect(await bans()).toMatchObject([{ node: ids[liar]! }])
    const mended = await indexed(late, digest)
    expect(mended.headers).toMatchObject({
      'shoal-index-digest': digestOf(readFileSync(right.file)),
      'shoal-index-signer': ids[1 - liar]!.toLowerCase(),
    })
  }, 90_000)

  test('of what nobody has is a 404, so that whoever asks goes on without', async () => {
    const nowhere = await ask('peer2', digestOf(Buffer.from('nothing')))
    expect(nowhere.status).toBe(404)
  }, 30_000)
})

/** The seed of that folder, which does not run, has signed something else as the index of the layer. */
async function forge(dataDir: string, layer: Digest, index: Uint8Array): Promise<Digest> {
  const store = await DiskStore.open({ dir: dataDir, clock: systemClock, log: silentLog })
  const ledger = Ledger.in(dataDir, silentLog)
  const file = join(dataDir, 'forged')
  try {
    const identity = await Identity.load(dataDir)
    const forged = Uint8Array.from(index)
    forged[forged.length - 1]! ^= 1
    writeFileSync(file, forged)
    const { digest, size } = await keepFile(store, identity, file)
    const { diffId } = decodeIndex(index)
    ledger.set(state({ layer, diffId, index: digest, size }, identity), Date.now(), Date.now())
    return digest
  } finally {
    ledger.close()
    await store.close()
    rmSync(file, { force: true })
  }
}
