import { expect, test } from 'bun:test'
import { rootMount } from './overlay.ts'

test('the lowest layer of a manifest is the lowest of the overlay, above an empty one', () => {
  const call = rootMount({ layers: ['/l/base', '/l/top'], empty: '/l/empty', target: '/mnt' })
  const lower = call.do === 'mount' ? call.options.filter(([key]) => key === 'lowerdir+').map(([, path]) => path) : []
  expect(lower).toEqual(['/l/top', '/l/base', '/l/empty'])
  expect(call).toMatchObject({ flags: 1 })
})

test('a root file system that is written to is no read-only one', () => {
  const writable = { upper: '/w/upper', work: '/w/work' }
  const call = rootMount({ layers: ['/l/base'], empty: '/l/empty', writable, target: '/mnt' })
  expect(call).toMatchObject({ flags: 0 })
  expect(call.do === 'mount' && call.options).toContainEqual(['upperdir', '/w/upper'])
})
