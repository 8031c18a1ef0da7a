import { describe, expect, test } from 'bun:test'
import { afterCheck, afterFault, type Circuit, firstWaitMs, mostWaitMs, orderOf, working } from './circuit.ts'

const down = (now = 0) => afterFault(working, 'silent', now)

describe('an endpoint', () => {
  test('that does not answer is out of use at once', () => {
    expect(down(7)).toEqual({ state: 'down', since: 7, until: 7 + firstWaitMs, waitMs: firstWaitMs })
  })

  test('that has problems is out of use after three in a row', () => {
    const once = afterFault(working, 'erring', 0)
    const twice = afterFault(once, 'erring', 1)
    expect([once.state, twice.state, afterFault(twice, 'erring', 2).state]).toEqual(['up', 'up', 'down'])
  })

  test('that is down is looked at less and less often, at least once a minute', () => {
    let circuit = down()
    const waits: number[] = []
    for (let i = 0; i < 6 && circuit.state === 'down'; i++) {
      waits.push(circuit.waitMs)
      circuit = afterCheck(circuit, false, circuit.until)
    }
    expect(waits).toEqual([5_000, 10_000, 20_000, 40_000, mostWaitMs, mostWaitMs])
  })

  test('that answers again is tried, and fails for longer than before when it does not serve', () => {
    const tried = afterCheck(down(), true, 5_000)
    expect(tried.state).toBe('trying')
    expect(afterFault(tried, 'erring', 6_000)).toEqual({ state: 'down', since: 0, until: 16_000, waitMs: 10_000 })
  })

  test('that is asked while it is down is not looked at later for that', () => {
    expect(afterFault(down(), 'silent', 3_000)).toEqual(down())
  })

  test('that works is no other for having been looked at', () => {
    expect(afterCheck(working, false, 1)).toEqual(working)
  })
})

describe('the order of endpoints', () => {
  const trying = afterCheck(down(), true, 0)
  const order = (circuits: Record<string, Circuit>, tried: string[] = [], avoided: string[] = []) =>
    orderOf(Object.keys(circuits), (name) => ({
      circuit: circuits[name]!,
      tried: tried.includes(name),
      avoid: avoided.includes(name),
    })).join('')

  test('is that of preference among those that work', () => {
    expect(order({ a: working, b: working, c: working })).toBe('abc')
  })

  test('has those that are down last, and none is left out', () => {
    expect(order({ a: down(), b: working, c: working })).toBe('bca')
    expect(order({ a: down(), b: down() })).toBe('ab')
  })

  test('has one that is tried in its place for one request, and last for others meanwhile', () => {
    expect(order({ a: trying, b: working })).toBe('ab')
    expect(order({ a: trying, b: working }, ['a'])).toBe('ba')
  })

  test('has one whose body broke off after the others that work, and before those that do not', () => {
    expect(order({ a: working, b: working, c: down() }, [], ['a'])).toBe('bac')
  })
})
