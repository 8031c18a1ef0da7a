import { afterEach, beforeEach, expect, test } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FakeClock } from '../../../test/fakes/clock.ts'
import { until } from '../../../test/lab/until.ts'
import { type Listening, listenAt } from './listening.ts'

let dir: string
let listening: Listening
let answers: PromiseWithResolvers<Response>
let asked: Promise<Response>

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'shoal-listening-'))
  answers = Promise.withResolvers()
  listening = listenAt(join(dir, 'm.sock'), () => answers.promise)
  asked = fetch('http://mounter/', { unix: join(dir, 'm.sock') })
  await until('it is asked', 10, () => listening.active === 1, 5)
})
afterEach(async () => {
  answers.resolve(new Response())
  await asked
  await listening.stop()
  rmSync(dir, { recursive: true, force: true })
})

test('a request that is being answered is waited for', async () => {
  const clock = new FakeClock()
  const rested = listening.rest(clock, 1000)
  await clock.run(500)
  answers.resolve(new Response('done'))
  expect(await (await asked).text()).toBe('done')
  await clock.run(20)
  expect(await rested).toBe(true)
})

test('but not for ever', async () => {
  const clock = new FakeClock()
  const rested = listening.rest(clock, 1000)
  await clock.run(1000)
  expect(await rested).toBe(false)
})
