import { expect, test } from 'bun:test'
import { existsSync, statSync } from 'node:fs'
import { deviceNumbers, diskReadAheadKb } from './read-ahead.ts'

test('the numbers of a device are those that the kernel has it by', () => {
  expect(deviceNumbers(0xfe00)).toBe('254:0')
  expect(deviceNumbers(0x801)).toBe('8:1')
  expect(deviceNumbers(0x0010_0305)).toBe('3:261')
})

test('a disk says how far is read ahead on it, and what is no disk says nothing', () => {
  expect(diskReadAheadKb('/proc')).toBeUndefined()
  const known = existsSync(`/sys/dev/block/${deviceNumbers(statSync(import.meta.dir).dev)}`)
  const kb = diskReadAheadKb(import.meta.dir)
  if (known) expect(kb).toBeGreaterThanOrEqual(0)
  else expect(kb).toBeUndefined()
})
