import { describe, expect, setDefaultTimeout, test } from 'bun:test'
import { FakeClock } from '../test/fakes/clock.ts'
import { Bucket, Gate } from './rate.ts'

// Each takes its time on a busy machine.
setDefaultTimeout(60_000)

const never = new AbortController().signal

describe('a bucket', () => {
  test('lets a tenth of a second go at once after a quiet time, and then what the rate allows', () => {
    const bucket = new Bucket(1000, 0)
    for (let i = 0; i < 10; i++) {
      expect(bucket.wait(5000)).toBe(0)
      bucket.take(10, 5000)
    }
    bucket.take(50, 5000)
    expect(bucket.wait(5000)).toBe(50)
    expect(bucket.wait(5050)).toBe(0)
  })

  test('lets any amount go while it is not in debt, and the next when that is paid', () => {
    const bucket = new Bucket(1000, 0)
    bucket.take(5100, 0)
    expect(bucket.wait(0)).toBe(5000)
    expect(bucket.wait(4000)).toBe(1000)
    expect(bucket.wait(5000)).toBe(0)
  })

  test('takes back what was not used, and saves up no more than its burst', () => {
    const bucket = new Bucket(1000, 0)
    bucket.take(1100, 0)
    bucket.take(-400, 0)
    expect(bucket.wait(0)).toBe(600)
    bucket.take(-100_000, 0)
    bucket.take(1100, 0)
    expect(bucket.wait(0)).toBe(1000)
  })

  test('passes its rate over time, neither more nor less, whatever the amounts are', () => {
    for (const amount of [1, 700, 20_000]) {
      const bucket = new Bucket(1_000_000, 0)
      let [now, moved] = [0, 0]
      while (now < 60_000) {
        now += Math.ceil(bucket.wait(now))
        bucket.take(amount, now)
        moved += amount
      }
      const most = 60_000_000 + 100_000 + amount
      expect(moved).toBeLessThanOrEqual(most + 1000)
      expect(moved).toBeGreaterThan(0.99 * 60_000_000)
    }
  })
})

class Row {
  readonly clock = new FakeClock()
  readonly gate: Gate
  readonly at: [name: string, ms: number][] = []

  constructor(init: { bytesPerSecond?: number; places?: number }) {
    this.gate = new Gate({ clock: this.clock, ...init })
  }
  enter(name: string, bytes: number, of = name, background = false, signal = never): Promise<void> {
    return this.gate.enter(bytes, { of, background }, signal).then(
      () => void this.at.push([name, this.clock.now()]),
      () => void this.at.push([`${name} gone`, this.clock.now()]),
    )
  }
  names(): string[] {
    return this.at.map(([name]) => name)
  }
}

describe('a gate', () => {
  test('without a limit keeps nobody waiting', async () => {
    const row = new Row({})
    for (let i = 0; i < 100; i++) void row.enter(String(i), 1e9)
    await row.clock.run(0)
    expect([row.at.length, row.clock.pending]).toEqual([100, 0])
  })

  test('lets in at its rate, with one timer for all who wait', async () => {
    const row = new Row({ bytesPerSecond: 1000 })
    for (let i = 0; i < 6; i++) void row.enter(String(i), 100)
    await row.clock.run(0)
    expect(row.clock.pending).toBe(1)
    await row.clock.run(10_000)
    expect(row.at.map(([, ms]) => ms)).toEqual([0, 0, 100, 200, 300, 400])
  })

  test('does not let a large blob keep small ones waiting', async () => {
    const row = new Row({ bytesPerSecond: 1000 })
    for (let i = 0; i < 20; i++) void row.enter('huge', 500)
    for (let i = 0; i < 5; i++) void row.enter(`small ${i}`, 5)
    await row.clock.run(1500)
    expect(row.names().filter((name) => name !== 'huge').length).toBe(5)
  })

  test('lets in what somebody waits for first, and the background all the same now and then', async () => {
    const row = new Row({ bytesPerSecond: 1000 })
    for (let i = 0; i < 100; i++) void row.enter('background', 100, 'b', true)
    for (let i = 0; i < 100; i++) void row.enter('interactive', 100, 'i')
    await row.clock.run(6400)
    const first = row.names().slice(2)
    const share = first.filter((name) => name === 'background').length / first.length
    expect(share).toBeGreaterThan(0.04)
    expect(share).toBeLessThan(0.1)
  })

  test('lets the next in sooner when what was let in was not used', async () => {
    const row = new Row({ bytesPerSecond: 1000 })
    void row.enter('first', 1100)
    void row.enter('second', 100)
    await row.clock.run(200)
    row.gate.leave(800)
    await row.clock.run(1)
    expect(row.at).toEqual([
      ['first', 0],
      ['second', 200],
    ])
  })

  test('has no more inside than it has places', async () => {
    const row = new Row({ places: 2 })
    for (let i = 0; i < 4; i++) void row.enter(String(i), 1)
    await row.clock.run(50)
    expect(row.names()).toEqual(['0', '1'])
    row.gate.leave()
    await row.clock.run(0)
    expect(row.names()).toEqual(['0', '1', '2'])
  })

  test('forgets who gives up, before and while it waits', async () => {
    const row = new Row({ places: 1 })
    const controller = new AbortController()
    void row.enter('inside', 1)
    void row.enter('waits', 1, 'x', false, controller.signal)
    controller.abort()
    void row.enter('late', 1, 'x', false, controller.signal)
    await row.clock.run(0)
    expect(row.names().sort()).toEqual(['inside', 'late gone', 'waits gone'])
    expect(row.gate.waiting).toBe(0)
    row.gate.leave()
    void row.enter('next', 1)
    await row.clock.run(0)
    expect(row.names()).toContain('next')
  })
})
