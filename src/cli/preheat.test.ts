import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { FakeContext } from '../../test/fakes/context.ts'
import { FakeShell } from '../../test/fakes/shell.ts'
import { type PreheatFacts, preheatSchema, preheatsSchema } from '../admin/preheats.ts'
import { barText, countsText, detailText, noteOf, summaryText } from './preheat-text.ts'
import { run } from './program.ts'

let shell: FakeShell
beforeEach(() => {
  shell = new FakeShell()
})
afterEach(() => shell.close())

const preheat = (...args: string[]) => shell.shoal('preheat', ...args)

test('asks the node for what the flags say, and does not wait where it shall not', async () => {
  const flags = ['--platform', 'linux/arm64', '--platform', 'linux/amd64', '--scope', 'all', '--zone', 'eu']
  const { code, out } = await preheat('debian:13', 'alpine:3', ...flags, '--share', '30%', '--pin', '7d', '--detach')
  expect([code, out]).toEqual([
    0,
    'preheat 1 running: docker.io/library/alpine:3 docker.io/library/debian:13; nodes: 2 running; 2 KiB of 8 KiB',
  ])
  expect(shell.view.preheats.requests).toEqual([
    {
      what: ['debian:13', 'alpine:3'],
      platforms: ['linux/arm64', 'linux/amd64'],
      target: { scope: 'all', zone: 'eu', share: 0.3 },
      pinMs: 604_800_000,
    },
  ])
})

test('all platforms are all of them, whatever else is named', async () => {
  await preheat('debian', '--platform', 'linux/arm64', '--platform', 'all', '--detach')
  expect(shell.view.preheats.requests[0]?.platforms).toBe('all')
})

describe('while it waits', () => {
  /** Time passes for the command as it would. */
  const waiting = async (...args: string[]) => {
    const moving = setInterval(() => shell.clock.advance(500), 2)
    try {
      return await preheat(...args)
    } finally {
      clearInterval(moving)
    }
  }

  test('it looks again and again until all is there', async () => {
    const { preheats } = shell.view
    await preheats.start({ what: ['debian'], platforms: ['linux/amd64'], target: { scope: 'seeds' } })
    preheats.steps = [{}, {}, preheats.done()]
    const { code, out } = await waiting('debian', '--platform', 'linux/amd64', '--quiet')
    expect([code, out]).toEqual([0, 'preheat 1 done: docker.io/library/debian:latest; nodes: 2 done; 8 KiB'])
  })

  test('a failure is exit code 1, with the reason', async () => {
    shell.view.preheats.steps = [{}, { state: 'failed', reason: '1 of 2 nodes failed' }]
    const { code, err } = await waiting('debian', '--json')
    expect([code, err]).toEqual([1, 'shoal: preheat 1 failed: 1 of 2 nodes failed'])
  })
})

test('lists, shows and cancels what there is, for people and as JSON', async () => {
  expect((await preheat('--list')).out).toBe('there are no preheats')
  await preheat('debian', '--scope', 'all', '--pin', '1h', '--detach')
  expect((await preheat('--list')).out).toContain('preheat 1 running: docker.io/library/debian:latest')
  expect(preheatsSchema.parse(JSON.parse((await preheat('--list', '--json')).out)).preheats).toHaveLength(1)
  const { out } = await preheat('--status', '1')
  expect(out).toContain('  to all nodes; platforms: linux/')
  expect(out.match(/^ {2}12D3KooW\w+ {2}running {2}1 KiB of 4 KiB$/gm)).toHaveLength(2)
  expect(preheatSchema.parse(JSON.parse((await preheat('--status', '1', '--json')).out)).id).toBe(1)
  expect(await preheat('--cancel', '1')).toMatchObject({
    code: 0,
    out: expect.stringContaining('preheat 1 is cancelled'),
  })
  expect(await preheat('--cancel', '1')).toMatchObject({ code: 1, err: expect.stringContaining('it is over') })
})

test.each([
  [[], 'name the images'],
  [['--list', '--cancel', '1'], 'three different questions'],
  [['debian', '--list'], 'take no images'],
  [['Debian'], 'Debian'],
  [['ftp://files.corp/x'], 'http'],
  [['debian', '--scope', 'some'], 'seeds, all'],
  [['debian', '--share', '0'], 'above 0'],
  [['debian', '--share', '130%'], 'at most 1'],
  [['debian', '--pin', '5'], 'such as 24h'],
  [['debian', '--platform', 'amd64'], 'linux/amd64'],
  [['--status', 'one'], 'the number of a preheat'],
])('%p is wrong usage', async (args, says) => {
  const context = new FakeContext()
  expect(await run(['preheat', ...args], context)).toBe(2)
  expect(context.complained.join('\n')).toContain(says)
})

const facts: PreheatFacts = {
  id: 7,
  state: 'failed',
  reason: '1 of 3 nodes failed',
  what: ['a:1', 'b:1', 'c:1', 'd:1', 'e:1'],
  platforms: ['linux/amd64'],
  scope: 'seeds',
  zone: 'eu',
  share: 0.25,
  pinSeconds: 3600,
  createdAt: '2026-01-01T00:00:00.000Z',
  updatedAt: '2026-01-01T00:00:09.000Z',
  bytes: 1024,
  total: 2048,
  counts: { pending: 0, running: 0, done: 2, failed: 1, cancelled: 0 },
  nodes: [{ node: 'n1', state: 'failed', bytes: 0, reason: 'no route to host' }],
}

test('what it says of one is what was asked, for whom, how far it is, and why it failed', () => {
  expect(detailText(facts).split('\n')).toEqual([
    'preheat 7 failed: a:1 b:1 c:1 and 2 more; nodes: 2 done, 1 failed; 1 KiB of 2 KiB; 1 of 3 nodes failed',
    '  to 25% of seeds in eu; platforms: linux/amd64; pinned until 2026-01-01T01:00:00.000Z',
    '  n1  failed  no route to host',
  ])
  const counts = { pending: 0, running: 0, done: 0, failed: 0, cancelled: 0 }
  expect([countsText({ counts }), summaryText({ ...facts, state: 'done' })]).toEqual([
    'no node yet',
    expect.stringContaining('2 KiB; 1 of 3'),
  ])
})

test('a line of the picture has name, bar, share and bytes, and a word where it is neither running nor done', () => {
  const line = (state: PreheatFacts['state'], here: number, total: number, reason?: string) =>
    barText({ name: '..abc', bytes: here, total, note: noteOf({ state, ...(reason ? { reason } : {}) }) }, '[#]')
  expect([line('running', 1024, 4096), line('done', 10, 10), line('pending', 0, 0, 'no answer')]).toEqual([
    '..abc      [#]   25%  1 KiB of 4 KiB',
    '..abc      [#]  100%  10 B of 10 B',
    '..abc      [#]  pending: no answer',
  ])
})
