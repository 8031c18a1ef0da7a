import { expect, test } from 'bun:test'
import { logOf } from './mounter-flags.ts'

test('whoever looks why there is no mounter is sent to where it writes', () => {
  expect(logOf(true)).toBe('journalctl -u shoal-mounter.service')
  expect(logOf(false)).toBe('/var/lib/shoal-mounter/mounter.log')
})
