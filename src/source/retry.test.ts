import { describe, expect, test } from 'bun:test'
import { HurriedClock, RecordedLog } from '../../test/fakes/registry-source.ts'
import { Failure } from '../failure.ts'
import {
  defaultRetry,
  parseRetryAfter,
  type RetryPolicy,
  retrying,
  Transient,
  unlessAborted,
  waitAfter,
} from './retry.ts'

const policy: RetryPolicy = { attempts: 4, firstMs: 100, maxMs: 300, patienceMs: 10_000 }

describe('waitAfter', () => {
  test('doubles up to the maximum, and varies between half and all of it', () => {
    const waits = (random: number) => [1, 2, 3].map((tried) => waitAfter(tried, undefined, policy, () => random))
    expect(waits(1)).toEqual([100, 200, 300])
    expect(waits(0)).toEqual([50, 100, 150])
  })

  test('gives up after the last attempt', () => {
    expect(waitAfter(4, undefined, policy, () => 0)).toBeUndefined()
  })

  test('waits as long as the server asks, within its patience', () => {
    expect(waitAfter(1, 5_000, policy, () => 0)).toBe(5_000)
    expect(waitAfter(1, 10_000, policy, () => 0)).toBe(10_000)
    expect(waitAfter(1, 10_001, policy, () => 0)).toBeUndefined()
    expect(waitAfter(1, 0, policy, () => 1)).toBe(100)
  })
})

describe('parseRetryAfter', () => {
  const now = Date.parse('2026-03-01T12:00:00Z')
  test.each([
    ['120', 120_000],
    ['0', 0],
    ['Sun, 01 Mar 2026 12:00:30 GMT', 30_000],
    ['Sun, 01 Mar 2026 11:00:00 GMT', 0],
    ['soon', undefined],
    ['-1', undefined],
    ['1.5', undefined],
    ['', undefined],
    [null, undefined],
  ])('reads %p as %p ms', (header, ms) => {
    expect(parseRetryAfter(header, now)).toBe(ms)
  })
})

describe('retrying', () => {
  const tools = () => ({ policy: defaultRetry, clock: new HurriedClock(), random: () => 0.5, log: new RecordedLog() })

  test('tries again after what may pass, and returns what comes then', async () => {
    let tried = 0
    const { log, ...rest } = tools()
    const result = await retrying({ ...rest, log }, undefined, async () => {
      tried += 1
      if (tried < 3) throw new Transient('unavailable', 'not now')
      return tried
    })
    expect(result).toBe(3)
    expect(log.lines).toHaveLength(2)
    expect(log.lines[0]).toStartWith('not now; trying again in 0.2 s')
  })

  test('does not try again what will not change', async () => {
    let tried = 0
    const attempt = async () => {
      tried += 1
      throw new Failure('denied', 'no')
    }
    await expect(retrying(tools(), undefined, attempt)).rejects.toThrow('no')
    expect(tried).toBe(1)
  })

  test('throws the last failure when attempts run out', async () => {
    let tried = 0
    const attempt = async () => {
      tried += 1
      throw new Transient('unavailable', `failure ${tried}`)
    }
    await expect(retrying(tools(), undefined, attempt)).rejects.toThrow(`failure ${defaultRetry.attempts}`)
  })

  test('stops waiting when the caller gives up', async () => {
    const controller = new AbortController()
    const slow = { ...tools(), policy: { ...policy, patienceMs: 3_600_000 } }
    const waiting = retrying(slow, controller.signal, async () => {
      throw new Transient('too-many', 'come back in an hour', {}, 3_600_000)
    })
    while (slow.clock.waits.length === 0) await Bun.sleep(1)
    controller.abort()
    const failure = await waiting.catch(Failure.from)
    expect(failure).toHaveProperty('code', 'cancelled')
    expect(slow.clock.waits).toEqual([3_600_000])
  })
})

describe('unlessAborted', () => {
  test('gives what the promise gives, or fails as it does', async () => {
    const { signal } = new AbortController()
    expect(await unlessAborted(Promise.resolve(7), signal)).toBe(7)
    await expect(unlessAborted(Promise.reject(new Failure('denied', 'no')), signal)).rejects.toMatchObject({
      code: 'denied',
    })
  })

  test.each([
    ['has aborted already', true],
    ['aborts', false],
  ])('is over when the signal %s, and the promise that fails later ends nothing', async (_, before) => {
    const leaver = new AbortController()
    if (before) leaver.abort()
    const work = Promise.withResolvers<never>()
    const waiting = unlessAborted(work.promise, leaver.signal)
    leaver.abort()
    await expect(waiting).rejects.toMatchObject({ code: 'cancelled' })
    // Of a rejection that nobody has looked at by then this process would hear, and fail the test.
    work.reject(new Failure('unavailable', 'late'))
    await Bun.sleep(0)
  })
})
