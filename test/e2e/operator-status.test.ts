/** `shoal status` against live nodes in the middle of a pull. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { blobPageSchema, memberSchema, nodeSchema, transfersSchema } from '../../src/admin/view.ts'
import { shortDigest } from '../../src/oci/digest.ts'
import { countedBytes } from '../../src/small-heap.ts'
import { allModes, Cluster } from '../lab/cluster.ts'
import { Lab } from '../lab/lab.ts'
import { builtBinary } from '../lab/node.ts'
import { until } from '../lab/until.ts'

const obstacle = await Lab.obstacle()
if (obstacle) console.log(`skipped: status of live nodes: ${obstacle}`)

const factsSchema = z.object({
  node: nodeSchema,
  members: z.array(memberSchema),
  blobs: blobPageSchema,
  transfers: transfersSchema,
})

describe.skipIf(obstacle !== undefined)('status in the middle of a pull', () => {
  let swarm: Cluster
  let pulls: Promise<unknown>
  let giver = ''
  let taker = ''
  beforeAll(async () => {
    // Half a minute: long enough for all that is looked at below on a busy machine. Then it is hurried up.
    swarm = await Cluster.create({ members: allModes(2), discovery: 'join', size: 80e6, rate: '20mbit' })
    await swarm.start()
    pulls = Promise.all(swarm.pullers.map((name) => swarm.pull(name)))
    pulls.catch(() => {})
    await until('both have some of the layer', 60, async () => {
      const held = await Promise.all(swarm.pullers.map((name) => swarm.held(name)))
      return held.every((bytes) => bytes > 5e6)
    })
    giver = (await swarm.fetcher())!
    taker = swarm.pullers.find((name) => name !== giver)!
  }, 120_000)
  afterAll(() => swarm?.close())

  const status = (name: string, ...flags: string[]) => swarm.lab.host(name).exec([builtBinary, 'status', ...flags])
  const factsOf = async (name: string) => factsSchema.parse(JSON.parse(await status(name, '--json')))

  test('is of nodes that began anew, told how little memory counts, under the number that they were started with', () => {
    for (const { process } of swarm.running) {
      const of = (file: string) => readFileSync(`/proc/${process.pid}/${file}`, 'utf8').split('\0')
      expect(of('environ')).toContain(`BUN_JSC_forceRAMSize=${countedBytes}`)
      expect(of('cmdline').slice(0, 2)).toEqual([builtBinary, 'up'])
    }
  })

  test('in JSON says what comes from whom and what goes to whom', async () => {
    const looked = async () => [await factsOf(giver), await factsOf(taker)] as const
    let [from, to] = await looked()
    // On a busy machine nothing may have come for a moment, or gone.
    await until('bytes come from the source to one and from there to the other', 10, async () => {
      const flows = from.transfers.uploads.length > 0 && from.node.rates.source > 0 && to.node.rates.received > 0
      if (!flows) [from, to] = await looked()
      return flows
    })
    expect(from.members.map(({ id }) => id).sort()).toEqual(to.members.map(({ id }) => id).sort())
    expect(from.members).toHaveLength(2)

    const download = to.transfers.downloads.find(({ digest }) => digest === swarm.layer.digest)
    expect(download?.size).toBe(swarm.layer.size)
    expect(download?.bytes).toBeGreaterThan(0)
    expect(download?.bytes).toBeLessThan(swarm.layer.size)
    expect(download?.readers).toBe(1)
    expect(download?.parents.map(({ id }) => id)).toContain(from.node.id)
    expect(to.node.rates.received).toBeGreaterThan(0)

    const own = from.transfers.downloads.find(({ digest }) => digest === swarm.layer.digest)
    expect(own?.parents.find(({ id }) => id === 'source')?.rate).toBeGreaterThan(0)
    expect(from.node.rates.source).toBeGreaterThan(0)
    const upload = from.transfers.uploads.find(({ digest }) => digest === swarm.layer.digest)
    expect(upload?.to).toBe(to.node.id)
    expect(upload?.bytes).toBeGreaterThan(0)
  })

  test('as text shows the node, its members, and the layer on its way', async () => {
    const text = await status(taker)
    expect(text).toMatch(/state +ready/)
    expect(text).toContain('Members (2)')
    expect(text).toContain('this node')
    // On a busy machine the other node may bring nothing for a moment, or little.
    const layer = shortDigest(swarm.layer.digest)
    const rate = '[0-9.]+ ([kMG]i)?B/s'
    await until('the taker shows the layer with its rate', 10, async () => {
      const [, downloads = ''] = (await status(taker)).split('Downloads (1)')
      return new RegExp(`${layer}.* 76\\.3 MiB +[0-9]+% +${rate}`).test(downloads)
    })
    await until('the giver shows what it sends of it', 10, async () => {
      const [, uploads = ''] = (await status(giver)).split('Uploads')
      return new RegExp(`${layer} +[0-9.]+ MiB +${rate}`).test(uploads)
    })
  })

  test('that is watched is drawn again and again on a terminal, and ends with what was seen last', async () => {
    // script(1) makes the terminal, and passes on what is typed: Ctrl-C, once it was drawn three times.
    const host = swarm.lab.host(taker)
    const typescript = join(host.dir, 'typescript')
    const drawn = `tr '\\033' '\\n' <${typescript} 2>/dev/null | grep -c '^\\[H'`
    const operator = `for i in $(seq 300); do [ "$(${drawn})" -ge 3 ] && break; sleep 0.1; done; printf '\\003'`
    // Ctrl-C is for it alone, whichever shell script(1) has.
    const watch = `exec ${builtBinary} status --watch --interval 200ms`
    await host.exec(['sh', '-c', `(${operator}) | script --quiet --flush --return --command '${watch}' ${typescript}`])
    const screen = readFileSync(typescript, 'utf8')
    expect(screen.split('\u001b[H').length).toBeGreaterThan(3)
    expect(screen).toContain('every 0.2 s; Ctrl-C ends')
    const [, left = ''] = screen.split('\u001b[?1049l')
    expect(left).toMatch(/^\s*Node 12D3/)
    expect(left).toContain('Members (2)')
  })

  test('that is watched ends with whoever reads it, and without a word', async () => {
    const watch = `${builtBinary} status --watch --interval 100ms`
    const { code, stdout, stderr } = await swarm.lab
      .host(taker)
      .tryExec(['bash', '-c', `set -o pipefail; timeout 30 ${watch} | head -n 2`])
    expect({ code, stderr, lines: stdout.trim().split('\n').length }).toEqual({ code: 0, stderr: '', lines: 2 })
  })

  test('after it shows whole blobs and no transfers', async () => {
    for (const host of swarm.lab.hosts) await host.shape('400mbit')
    await pulls
    await until('no transfer is left', 20, async () => {
      const { transfers } = await factsOf(taker)
      return transfers.downloads.length + transfers.uploads.length === 0
    })
    const { blobs, node } = await factsOf(taker)
    expect(blobs.blobs.find(({ digest }) => digest === swarm.layer.digest)?.complete).toBe(true)
    expect(node.store.partial).toBe(0)
    expect(await status(taker)).toContain('Downloads: none')
  }, 120_000)
})
