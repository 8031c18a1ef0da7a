import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FakeClock } from '../../test/fakes/clock.ts'
import { Failure } from '../failure.ts'
import { silentLog } from '../telemetry/log.ts'
import { basicLogin, writerName } from './pushers.ts'
import { parseUsers, Users } from './users.ts'

const hash = await Bun.password.hash('correct', { algorithm: 'bcrypt', cost: 4 })
/** What Apache's htpasswd writes. */
const apache = hash.replace('$2b$', '$2y$')

let dir: string
let file: string
let clock: FakeClock
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'shoal-users-'))
  file = join(dir, 'users')
  clock = new FakeClock()
})
afterEach(() => rmSync(dir, { recursive: true }))

const write = (text: string, at = 1) => {
  writeFileSync(file, text)
  utimesSync(file, at, at)
}
const basic = (name: string, password: string) => `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}`
const codeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => 'none',
    (error) => Failure.from(error).code,
  )

describe('a file of users', () => {
  test('is read as htpasswd writes it', () => {
    expect([...parseUsers(`# people\nann:${hash}\r\n\nbob:${apache}\n`, 'f').keys()]).toEqual(['ann', 'bob'])
  })

  test.each([
    ['', 'f has no user; add one with htpasswd -B -c f NAME'],
    ['ann', 'f, line 1: expected name:hash, each name once'],
    [`ann:${hash}\nann:${hash}`, 'f, line 2: expected name:hash, each name once'],
    ['ann:$apr1$x$y', 'f, line 1: the hash of "ann" is not bcrypt; write it with htpasswd -B'],
    ['ann:{SHA}secret', 'f, line 1: the hash of "ann" is not bcrypt; write it with htpasswd -B'],
  ])('that is wrong is told what is: %#', (text, message) => {
    expect(() => parseUsers(text, 'f')).toThrow(message)
    expect(message).not.toContain('secret')
  })

  test('says who has shown the right password', async () => {
    write(`ann:${hash}\nbob:${apache}\n`)
    const users = await Users.open(file, clock, silentLog)
    for (const name of ['ann', 'bob']) {
      expect(await users.verify(name, 'correct')).toBe(true)
      expect(await users.verify(name, 'correct')).toBe(true)
      for (const wrong of ['wrong', '', 'correct'.repeat(20)]) expect(await users.verify(name, wrong)).toBe(false)
    }
    expect(await users.verify('eve', 'correct')).toBe(false)
  })

  test('is read again when it changes, and counts as it was while it is wrong', async () => {
    write(`ann:${hash}\n`)
    const users = await Users.open(file, clock, silentLog)
    expect(await users.verify('ann', 'correct')).toBe(true)
    write('nonsense', 2)
    clock.advance(1000)
    expect(await users.verify('ann', 'correct')).toBe(true)
    write(`bob:${hash}\n`, 3)
    clock.advance(1000)
    expect([await users.verify('ann', 'correct'), await users.verify('bob', 'correct')]).toEqual([false, true])
  })
})

describe('who writes', () => {
  const ask = { authorization: undefined, local: true, browser: false }

  test('without a file is on this host, and no web page', async () => {
    expect(await writerName(ask, undefined)).toBe('local')
    expect(await codeOf(writerName({ ...ask, local: false }, undefined))).toBe('forbidden')
    expect(await codeOf(writerName({ ...ask, browser: true }, undefined))).toBe('forbidden')
  })

  test('with a file shows a login, wherever it is', async () => {
    write(`ann:${hash}\n`)
    const users = await Users.open(file, clock, silentLog)
    for (const local of [true, false]) {
      expect(await writerName({ ...ask, local, authorization: basic('ann', 'correct') }, users)).toBe('ann')
      for (const authorization of [undefined, 'Bearer x', basic('ann', 'wrong'), basic('eve', 'correct'), 'Basic !']) {
        expect(await codeOf(writerName({ ...ask, local, authorization }, users))).toBe('unauthorized')
      }
    }
  })

  test('may have colons in the password, not in the name', () => {
    expect(basicLogin(basic('ann', 'a:b'))).toEqual({ name: 'ann', password: 'a:b' })
    expect(basicLogin(basic('', 'x'))).toBeUndefined()
  })
})
