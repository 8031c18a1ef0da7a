import { describe, expect, test } from 'bun:test'
import { Failure, type FailureCode, isFailureCode, turnsAway } from './failure.ts'

describe('an engine that asks for what', () => {
  test.each<FailureCode>([
    'no-blob',
    'no-manifest',
    'no-name',
    'denied',
    'not-listed',
    'unavailable',
    'corrupt',
    'no-space',
    'cancelled',
    'unsupported',
  ])('is %s goes to the registry by itself', (code) => {
    expect(new Failure(code, 'no').status).toBe(404)
  })
})

test('a failure stays what it is, and anything else that was thrown is internal and keeps its cause', () => {
  const failure = new Failure('denied', 'no')
  expect(Failure.from(failure)).toBe(failure)
  const cause = new TypeError('undefined is not a function')
  expect(Failure.from(cause)).toMatchObject({ code: 'internal', message: cause.message, cause })
  expect(Failure.from('text')).toMatchObject({ code: 'internal', message: 'text' })
})

test('a code that another node sent is taken only if it is one', () => {
  expect(isFailureCode('denied')).toBe(true)
  expect(isFailureCode('toString')).toBe(false)
  expect(isFailureCode('')).toBe(false)
})

test('what turns one node away may pass for nobody soon; what has no code, or a code that nobody knows, may', () => {
  const codes: string[] = ['denied', 'unauthorized', 'no-blob', 'no-manifest', 'no-name', 'not-listed']
  expect(codes.filter(turnsAway)).toEqual(codes)
  expect([undefined, '', 'toString', 'unavailable', 'too-many', 'no-space', 'cancelled'].filter(turnsAway)).toEqual([])
})
