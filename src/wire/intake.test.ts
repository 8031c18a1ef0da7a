import { expect, test } from 'bun:test'
import { Failure } from '../failure.ts'
import { Intake } from './intake.ts'
import { maxControlBytes } from './messages.ts'

const codeOf = (task: () => unknown) => {
  try {
    task()
    return 'taken'
  } catch (error) {
    return Failure.from(error).code
  }
}
const limits = { requestsOfHost: 1, bodyBytesOfHost: 8 * maxControlBytes, bodyBytes: 8 * maxControlBytes }
const [one, other] = ['10.0.0.7', '10.0.0.8']
const post = (length: number | undefined) =>
  new Request('http://node/', {
    method: 'POST',
    headers: length === undefined ? {} : { 'content-length': String(length) },
  })

test('one host has so many requests at a time, and other hosts are not held up by it', () => {
  const intake = new Intake({ ...limits, requestsOfHost: 2 })
  const over = intake.host('10.0.0.7')
  intake.host('10.0.0.7')
  expect(codeOf(() => intake.host('10.0.0.7'))).toBe('too-many')
  expect(codeOf(() => intake.host('10.0.0.8'))).toBe('taken')
  over()
  over()
  expect(codeOf(() => intake.host('10.0.0.7'))).toBe('taken')
  expect(codeOf(() => intake.host('10.0.0.7'))).toBe('too-many')
})

test('nodes on one and the same host share its loopback address, and are not counted together', () => {
  const intake = new Intake({ ...limits, bodyBytesOfHost: 1 })
  for (let i = 0; i < 5; i++) {
    expect(codeOf(() => intake.host('127.0.0.1'))).toBe('taken')
    expect(codeOf(() => intake.body(post(1), '127.0.0.1'))).toBe('taken')
  }
})

test('bodies have so much room together, and one that does not say its length takes all that it might', () => {
  const intake = new Intake({ ...limits, bodyBytes: 2 * maxControlBytes })
  const over = intake.body(post(undefined), one)
  intake.body(post(maxControlBytes), other)
  expect(codeOf(() => intake.body(post(1), '10.0.0.9'))).toBe('too-many')
  over()
  expect(codeOf(() => intake.body(post(maxControlBytes), '10.0.0.9'))).toBe('taken')
})

test('the bodies of one host fill its own share of that room, and leave the rest to others', () => {
  const intake = new Intake({ ...limits, bodyBytesOfHost: 2 * maxControlBytes })
  const over = intake.body(post(undefined), one)
  intake.body(post(maxControlBytes), one)
  expect(codeOf(() => intake.body(post(1), one))).toBe('too-many')
  expect(codeOf(() => intake.body(post(maxControlBytes), other))).toBe('taken')
  over()
  over()
  expect(codeOf(() => intake.body(post(maxControlBytes), one))).toBe('taken')
  expect(codeOf(() => intake.body(post(1), one))).toBe('too-many')
})

test.each([maxControlBytes + 1, Number.MAX_SAFE_INTEGER])('a body of %d bytes is never taken', (length) => {
  expect(codeOf(() => new Intake().body(post(length), one))).toBe('bad-request')
})
