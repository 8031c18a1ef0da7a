import { beforeEach, describe, expect, test } from 'bun:test'
import { FakeClock } from '../../test/fakes/clock.ts'
import { MemoryStore } from '../../test/fakes/memory-store.ts'
import { repositoryOf } from '../oci/reference.ts'
import { allowedMs, type Holder, lastWordMs, refusedMs, Verdicts } from './verdicts.ts'

const app = repositoryOf('ghcr.io', 'org/app')
const other = repositoryOf('ghcr.io', 'org/other')
const login: Holder = 'login abc'

let store: MemoryStore
let verdicts: Verdicts
beforeEach(() => {
  store = new MemoryStore({ clock: new FakeClock() })
  verdicts = new Verdicts(store)
})

describe('what a source said', () => {
  test('counts for a minute if it was yes, and for less if it was no', () => {
    verdicts.learn(app, 'anyone', 'allowed', 1000)
    verdicts.learn(app, login, 'refused', 1000)
    expect(verdicts.now(app, 'anyone', 1000 + allowedMs - 1)).toBe('allowed')
    expect(verdicts.now(app, 'anyone', 1000 + allowedMs)).toBeUndefined()
    expect(verdicts.now(app, login, 1000 + refusedMs - 1)).toBe('refused')
    expect(verdicts.now(app, login, 1000 + refusedMs)).toBeUndefined()
    expect(allowedMs).toBe(60_000)
    expect(refusedMs).toBeLessThanOrEqual(allowedMs)
  })

  test('is about one repository and one holder', () => {
    verdicts.learn(app, login, 'allowed', 0)
    expect(verdicts.now(other, login, 1)).toBeUndefined()
    expect(verdicts.now(app, 'anyone', 1)).toBeUndefined()
    expect(verdicts.now(app, 'login abd', 1)).toBeUndefined()
  })

  test('is taken back by what was said later, not by what was said before', () => {
    verdicts.learn(app, 'anyone', 'allowed', 10)
    verdicts.learn(app, 'anyone', 'refused', 5)
    expect(verdicts.now(app, 'anyone', 11)).toBe('allowed')
    verdicts.learn(app, 'anyone', 'refused', 12)
    verdicts.learn(app, 'anyone', 'allowed', 11)
    expect(verdicts.now(app, 'anyone', 13)).toBe('refused')
    expect(verdicts.lastWord(app, 'anyone', 13 + lastWordMs.login)).toBe('refused')
  })

  test('is asked for again when the clock of the host was set back', () => {
    verdicts.learn(app, 'anyone', 'allowed', 1_000_000)
    expect(verdicts.now(app, 'anyone', 999_999)).toBeUndefined()
    expect(verdicts.lastWord(app, 'anyone', 999_999)).toBe('allowed')
  })
})

describe('the last word of a source that is silent now', () => {
  test('counts for thirty days to anyone, for one day to a login', () => {
    for (const holder of ['anyone', 'node', 'shared', login] as const) verdicts.learn(app, holder, 'allowed', 0)
    const day = 24 * 3600_000
    expect(verdicts.lastWord(app, 'anyone', 30 * day - 1)).toBe('allowed')
    expect(verdicts.lastWord(app, 'anyone', 30 * day)).toBeUndefined()
    for (const holder of ['node', 'shared', login] as const) {
      expect(verdicts.lastWord(app, holder, day - 1)).toBe('allowed')
      expect(verdicts.lastWord(app, holder, day)).toBeUndefined()
    }
  })

  test('has an age as long as it was yes', () => {
    verdicts.learn(app, 'anyone', 'allowed', 100)
    expect(verdicts.ageOf(app, 'anyone', 400)).toBe(300)
    verdicts.learn(app, 'anyone', 'refused', 500)
    expect(verdicts.ageOf(app, 'anyone', 600)).toBeUndefined()
    expect(verdicts.ageOf(other, 'anyone', 600)).toBeUndefined()
  })

  test('outlives a restart for anyone and the logins of nodes, and never for what a client showed', () => {
    for (const holder of ['anyone', 'node', 'shared', login] as const) verdicts.learn(app, holder, 'allowed', 1000)
    const later = new Verdicts(store)
    for (const holder of ['anyone', 'node', 'shared'] as const)
      expect(later.lastWord(app, holder, 2000)).toBe('allowed')
    expect(later.lastWord(app, login, 2000)).toBeUndefined()
    later.learn(app, 'anyone', 'refused', 3000)
    expect(new Verdicts(store).lastWord(app, 'anyone', 4000)).toBeUndefined()
  })

  test('is written down twice a minute at most', () => {
    verdicts.learn(app, 'anyone', 'allowed', 0)
    verdicts.learn(app, 'anyone', 'allowed', 29_999)
    expect(store.granted(app, 'anyone')).toBe(0)
    verdicts.learn(app, 'anyone', 'allowed', 30_000)
    expect(store.granted(app, 'anyone')).toBe(30_000)
  })
})
