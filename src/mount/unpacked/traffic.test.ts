import { describe, expect, test } from 'bun:test'
import { FakeClock, settle } from '../../../test/fakes/clock.ts'
import { Traffic } from './traffic.ts'

const never = new AbortController().signal

describe('Traffic', () => {
  test('lets what nobody waits for go when it has been quiet for a while', async () => {
    const clock = new FakeClock()
    const traffic = new Traffic(clock)
    const { promise, resolve } = Promise.withResolvers<void>()
    const demand = traffic.demand(() => promise)
    let went = false
    const going = traffic.background(never, async () => {
      went = true
    })
    await clock.run(5000)
    expect([went, traffic.busy]).toEqual([false, true])
    resolve()
    await demand
    await clock.run(400)
    expect(went).toBe(false)
    await clock.run(600)
    await going
    expect([went, traffic.busy]).toEqual([true, false])
  })

  test('waits for the first read of what was just opened', async () => {
    const clock = new FakeClock()
    const traffic = new Traffic(clock)
    await traffic.open(async () => {})
    let went = false
    const going = traffic.background(never, async () => {
      went = true
    })
    await clock.run(400)
    expect(went).toBe(false)
    await clock.run(200)
    await going
    expect(went).toBe(true)
  })

  test('lets layers be opened before what starts are known to read of those that are', async () => {
    const clock = new FakeClock()
    const traffic = new Traffic(clock)
    const [first, second] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    void traffic.open(() => first.promise)
    void traffic.open(() => second.promise)
    let opened = false
    const waiting = traffic.opened(never).then(() => {
      opened = true
    })
    first.resolve()
    await clock.run(500)
    expect(opened).toBe(false)
    second.resolve()
    await settle()
    await clock.run(20)
    expect(opened).toBe(false)
    await clock.run(60)
    await waiting
    expect(opened).toBe(true)
  })

  test('waits three seconds at most until layers are open', async () => {
    const clock = new FakeClock()
    const traffic = new Traffic(clock)
    void traffic.open(() => new Promise(() => {}))
    let opened = false
    const waiting = traffic.opened(never).then(() => {
      opened = true
    })
    await clock.run(2900)
    expect(opened).toBe(false)
    await clock.run(200)
    await waiting
    expect(opened).toBe(true)
  })

  test('lets no more than two go at once', async () => {
    const clock = new FakeClock()
    const traffic = new Traffic(clock)
    const { promise, resolve } = Promise.withResolvers<void>()
    let running = 0
    const all = Array.from({ length: 4 }, () =>
      traffic.background(never, async () => {
        running++
        await promise
      }),
    )
    await clock.run(3000)
    expect(running).toBe(2)
    resolve()
    await settle()
    await clock.run(3000)
    await Promise.all(all)
    expect(running).toBe(4)
  })

  test('ends who waits when that is not wanted any more', async () => {
    const traffic = new Traffic(new FakeClock())
    await traffic.open(async () => {})
    const ended = new AbortController()
    const going = traffic.background(ended.signal, async () => {})
    ended.abort(new Error('it ends'))
    expect(going).rejects.toThrow('it ends')
    await going.catch(() => {})
  })
})
