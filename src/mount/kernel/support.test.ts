import { describe, expect, test } from 'bun:test'
import { type HostFacts, whyNot } from './support.ts'

const good: HostFacts = { platform: 'linux', root: true, kernel: '6.12.1-amd64', fuse: true }

describe('a host that cannot mount lazily is told why, and what to do', () => {
  test.each([
    [{ ...good, platform: 'darwin' }, /need Linux.*shoal get/],
    [{ ...good, root: false }, /sudo/],
    [{ ...good, kernel: '6.11.9' }, /6\.12 or newer.*this is 6\.11\.9.*shoal get/],
    [{ ...good, kernel: '5.15.0-100-generic' }, /6\.12 or newer/],
    [{ ...good, fuse: false }, /modprobe fuse.*--device \/dev\/fuse/],
  ])('%#', (facts, sentence) => {
    expect(whyNot(facts)).toMatch(sentence)
  })

  test('and one that can is not', () => {
    expect(whyNot(good)).toBeUndefined()
    expect(whyNot({ ...good, kernel: '7.0.0' })).toBeUndefined()
  })
})
