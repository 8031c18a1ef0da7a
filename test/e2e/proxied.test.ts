/** Nodes behind a proxy: registries are asked through it, and nobody else is. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Lab } from '../lab/lab.ts'
import { syntheticLayers } from '../lab/layers.ts'
import { builtBinary, LabNode } from '../lab/node.ts'
import { pullOn } from '../lab/pull.ts'
import { type Stock, stocked } from '../lab/stock.ts'
import { until } from '../lab/until.ts'

const obstacle = await Lab.obstacle()
if (obstacle) console.log(`skipped: nodes behind a proxy: ${obstacle}`)

/** Forwards `GET http://name/path`, for it alone knows where the name is, and logs what it was asked for. */
const proxyProgram = (registry: string) => `
const { createServer, request } = require('node:http')
createServer((asked, answer) => {
  if (!URL.canParse(asked.url)) return answer.writeHead(400).end()
  console.log(asked.method, asked.url)
  const to = new URL(asked.url)
  const headers = { ...asked.headers, host: to.host }
  const onward = request('${registry}' + to.pathname + to.search, { method: asked.method, headers }, (from) => {
    answer.writeHead(from.statusCode, from.headers)
    from.pipe(answer)
  })
  onward.on('error', () => answer.destroy())
  onward.end()
}).listen(3128)
`

describe.skipIf(obstacle !== undefined)('a cluster whose hosts reach registries only through a proxy', () => {
  const name = 'registry.corp.test:5000'
  let lab: Lab
  let stock: Stock
  let environment: Record<string, string>
  const nodes: LabNode[] = []
  beforeAll(async () => {
    lab = await Lab.create({ hosts: ['registry', 'proxy', 'h1', 'h2'] })
    stock = await stocked(lab, 'team/app', 'v1', (folder) => syntheticLayers(folder, [3e6], 1))
    const proxy = lab.host('proxy')
    const program = join(proxy.dir, 'proxy.cjs')
    writeFileSync(program, proxyProgram(stock.registry.url))
    proxy.spawn([process.execPath, program], { log: 'proxy.log' })
    const url = `http://${proxy.address}:3128`
    environment = { HTTP_PROXY: url, HTTPS_PROXY: url }
    await until('the proxy listens', 10, async () => (await proxy.tryExec(['curl', '-s', `${url}/`])).code !== 7)
    for (const host of ['h1', 'h2'].map((each) => lab.host(each))) {
      await host.exec(['ip', 'route', 'add', 'blackhole', `${lab.host('registry').address}/32`])
      const flags = ['--no-mdns', '--join', lab.host('h1').address, '--upstream', `registry.corp.test=http://${name}`]
      nodes.push(new LabNode({ host, flags, env: environment }))
    }
    await Promise.all(nodes.map((node) => node.ready()))
    await until(
      'they know each other',
      20,
      async () => (await nodes[0]!.members()) === 2 && (await nodes[1]!.members()) === 2,
    )
  }, 120_000)
  afterAll(() => lab?.close())

  const asked = () =>
    [...readFileSync(join(lab.host('proxy').dir, 'proxy.log'), 'utf8').matchAll(/^[A-Z]+ (\S+)$/gm)].map(
      ([, url]) => new URL(url!).host,
    )

  test('pulls through it once, and nodes speak with each other past it', async () => {
    for (const [i, host] of ['h1', 'h2'].entries()) {
      await pullOn(lab.host(host), nodes[i]!.mirror, 'registry.corp.test/team/app', 'v1')
    }
    expect(asked()).toContain(name)
    expect(asked().filter((host) => host !== name)).toEqual([])
    const layer = stock.layers[0]!
    const [first, second] = await Promise.all(nodes.map((node) => node.metric('shoal_source_bytes_total')))
    expect(first! + second!).toBeGreaterThanOrEqual(layer.size)
    expect(first! + second!).toBeLessThan(1.1 * layer.size)
  }, 60_000)

  test('doctor asks as the node does, and says which way it went', async () => {
    const command = [builtBinary, 'doctor', '--upstream', `registry.corp.test=http://${name}`]
    const { stdout } = await lab.host('h2').tryExec(command, environment)
    expect(stdout).toContain(
      `ok    sources   registry.corp.test answers at http://${name} through the proxy ${environment.HTTP_PROXY!.slice(7)}`,
    )
  }, 60_000)
})
