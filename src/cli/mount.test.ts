import { expect, test } from 'bun:test'
import { FakeContext } from '../../test/fakes/context.ts'
import { run } from './program.ts'

test.each([
  ['http://files.corp/disk.img', '"http://files.corp/disk.img" is a URL: expected an image such as ghcr.io/org/app:v1'],
  ['UPPER', '"UPPER" is not a repository name'],
])('what is no image (%s) is wrong usage, whatever this host can mount', async (image, says) => {
  const context = new FakeContext()
  expect(await run(['mount', image, '/none'], context)).toBe(2)
  expect(context.complained.join('\n')).toContain(says)
})
