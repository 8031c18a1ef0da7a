import { describe, expect, test } from 'bun:test'
import { Kernel } from './kernel.ts'
import { layerMount } from './overlay.ts'

const kernelThat = (errno: number) => new Kernel(async () => [{ errno, step: 'make erofs', said: [] }])
const why = (errno: number) =>
  kernelThat(errno)
    .make(layerMount('/data/meta.erofs', '/files/x', false, '/layers/x'))
    .then(
      () => 'mounted',
      (error: Error) => error.message,
    )

describe('a mount that fails', () => {
  test('says which file system is not fit for it, and what to do', async () => {
    expect(await why(15)).toMatch(/from the file system that \/data\/meta.erofs is on.*--data-dir on a disk/)
  })

  test('says what the kernel said, where that is all that is known', async () => {
    expect(await why(5)).toContain('/layers/x')
    expect(await why(0)).toBe('mounted')
  })
})
