import { describe, expect, test } from 'bun:test'
import { SharedReading } from './shared-reading.ts'

describe('a reading that is shared', () => {
  const started: ((text: string) => void)[] = []
  const shared = new SharedReading(() => {
    const { promise, resolve } = Promise.withResolvers<string>()
    started.push(resolve)
    return promise
  })

  test('is begun once for all who ask during another, and shows nobody what was read before they asked', async () => {
    const first = shared.get()
    const crowd = Array.from({ length: 1000 }, () => shared.get())
    expect(started.length).toBe(1)
    started[0]!('one')
    expect(await first).toBe('one')
    await Bun.sleep(0)
    expect(started.length).toBe(2)
    const late = shared.get()
    started[1]!('two')
    expect(new Set(await Promise.all(crowd))).toEqual(new Set(['two']))
    await Bun.sleep(0)
    started[2]!('three')
    expect(await late).toBe('three')
    expect(started.length).toBe(3)
    void shared.get()
    expect(started.length).toBe(4)
  })
})
