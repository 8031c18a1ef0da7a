import { expect, test } from 'bun:test'
import { Failure } from '../failure.ts'
import { libz } from './libz.ts'
import { whyWhole } from './resume.ts'

test('a host without libz says so of gzip layers, and what would mend it', () => {
  const load = () => libz('libz-of-nobody.so.1')
  expect(load).toThrow(Failure)
  expect(whyWhole('gzip', load)).toContain('apt install zlib1g')
  expect(whyWhole('zstd', load)).toBeUndefined()
  expect(whyWhole('none', load)).toBeUndefined()
  expect(whyWhole('gzip')).toBeUndefined()
})
