import { afterEach, expect, test } from 'bun:test'
import { type CollectedSpan, spansOf } from '../../test/lab/collector.ts'
import { systemClock } from '../clock.ts'
import { Failure } from '../failure.ts'
import { type Fields, type Log, silentLog } from './log.ts'
import { createTraces } from './otel.ts'
import { spanned, type Traces } from './traces.ts'

const closers: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0)) await close()
})

function collector(answer = () => Response.json({})) {
  const spans: CollectedSpan[] = []
  const server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    async fetch(request) {
      if (new URL(request.url).pathname !== '/v1/traces') return new Response(null, { status: 404 })
      spans.push(...spansOf(await request.json()))
      return answer()
    },
  })
  closers.push(() => server.stop(true))
  return { spans, endpoint: `http://127.0.0.1:${server.port}/v1/traces` }
}

function tracesTo(endpoint: string, log: Log = silentLog): Traces {
  return createTraces({ endpoint, version: '1.2.3', node: 'node-a', zone: 'eu/a', clock: systemClock, log })
}

test('a collector gets spans with their parents, those of other nodes included, and whose they are', async () => {
  const { spans, endpoint } = collector()
  const here = tracesTo(endpoint)
  const there = tracesTo(endpoint)
  const pull = here.begin('pull', 'server', { image: 'debian' })
  await spanned(
    here.begin('beside', 'internal'),
    async () => 1,
    () => ({}),
  )
  await pull.within(async () => {
    // Whatever comes later is below it too.
    await Bun.sleep(1)
    const asking = here.begin('ask', 'client')
    const header = asking.within(() => here.carried())
    await there.continued(header, () => spanned(there.begin('answer', 'server'), async () => {}))
    asking.end()
  })
  pull.note({ bytes: 7, nothing: undefined })
  pull.end()
  await Promise.all([here.close(), there.close()])

  const named = (name: string) => spans.find((span) => span.name === name)!
  expect(spans.map(({ name }) => name).sort()).toEqual(['answer', 'ask', 'beside', 'pull'])
  expect(named('ask')).toMatchObject({ parent: named('pull').id, kind: 3 })
  expect(named('answer')).toMatchObject({ parent: named('ask').id, trace: named('pull').trace, kind: 2 })
  expect(named('beside').trace).not.toBe(named('pull').trace)
  expect(named('pull').facts).toEqual({ 'shoal.image': 'debian', 'shoal.bytes': 7 })
  expect(named('pull').resource).toMatchObject({
    'service.name': 'shoal',
    'service.version': '1.2.3',
    'service.instance.id': 'node-a',
    'shoal.zone': 'eu/a',
  })
})

test('what failed is told with its code; that a client left is no error', async () => {
  const { spans, endpoint } = collector()
  const traces = tracesTo(endpoint)
  for (const code of ['unavailable', 'cancelled'] as const) {
    const failing = spanned(traces.begin(code, 'client'), () => Promise.reject(new Failure(code, 'it is away')))
    await expect(failing).rejects.toMatchObject({ code })
  }
  await traces.close()
  const told = spans.map(({ name, status, facts }) => [name, status, facts['shoal.failure']])
  expect(told).toEqual([
    ['unavailable', 2, 'unavailable'],
    ['cancelled', 0, 'cancelled'],
  ])
})

test.each([undefined, null, '', 'nonsense', '00-0-0-00'])('the header %p names no span', (header) => {
  const traces = tracesTo('http://127.0.0.1:9/v1/traces')
  closers.push(() => traces.close())
  traces.begin('outside', 'internal').within(() => {
    expect(traces.carried()).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/)
    traces.continued(header, () => expect(traces.carried()).toBeUndefined())
  })
})

test('a collector that is away, or refuses, is told of once, and keeps no node from ending', async () => {
  const refusing = collector(() => new Response(null, { status: 400 }))
  for (const endpoint of ['http://127.0.0.1:9/v1/traces', refusing.endpoint]) {
    const lines: [string, Fields | undefined][] = []
    const log: Log = { ...silentLog, warn: (message, fields) => void lines.push([message, fields]) }
    const traces = tracesTo(endpoint, log)
    traces.begin('pull', 'server').end()
    await traces.close()
    // Whether it was said in time or given up before: nothing else may have been said.
    for (const line of lines) expect(line).toEqual([expect.stringContaining('traces are lost'), expect.anything()])
    if (endpoint === refusing.endpoint) expect(lines).toHaveLength(1)
  }
})
