import { expect, test } from 'bun:test'
import { writeFileSync } from 'node:fs'
import { Failure } from '../../failure.ts'
import { isFull } from './eviction.ts'

test('a layer goes for a disk that is full, and for nothing else that goes wrong there', () => {
  const failed = (path: string): unknown => {
    try {
      writeFileSync(path, 'x')
    } catch (error) {
      return error
    }
    return undefined
  }
  expect(isFull(failed('/dev/full'))).toBe(true)
  expect(isFull(failed('/proc'))).toBe(false)
  expect(isFull(failed('/nowhere/file'))).toBe(false)
  expect([isFull(undefined), isFull(new Failure('unavailable', 'no node'))]).toEqual([false, false])
})
