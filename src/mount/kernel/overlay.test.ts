import { expect, test } from 'bun:test'
import { rootMount } from './overlay.ts'

const plain = { rw: false, suid: false, dev: false }

test('the lowest layer of a manifest is the lowest of the overlay, above an empty one', () => {
  const call = rootMount({ layers: ['/l/base', '/l/top'], empty: '/l/empty', ...plain, target: '/mnt' })
  const lower = call.do === 'mount' ? call.options.filter(([key]) => key === 'lowerdir+').map(([, path]) => path) : []
  expect(lower).toEqual(['/l/top', '/l/base', '/l/empty'])
  expect(call).toMatchObject({ flags: 7 })
})

test('a root file system that is written to is no read-only one', () => {
  const writable = { upper: '/w/upper', work: '/w/work' }
  const call = (rw: boolean) =>
    rootMount({ layers: ['/l/base'], empty: '/l/empty', writable, ...plain, rw, target: '/mnt' })
  const options = (rw: boolean) => {
    const made = call(rw)
    return made.do === 'mount' ? made.options.flat() : []
  }
  expect(call(true)).toMatchObject({ flags: 6 })
  expect(options(true)).toContain('/w/upper')
  expect(options(true)).not.toContain('ro')
  // One that is only read may have folders of its own too: it is read-only for whatever is made of it.
  expect(call(false)).toMatchObject({ flags: 7 })
  expect(options(false)).toEqual(expect.arrayContaining(['ro', '/w/upper']))
})
