import { expect, test } from 'bun:test'
import { backendFolders } from './backend-folder.ts'

test('backends that are folders are named once, without what URLs write otherwise', () => {
  const backends = [
    ...['file:///srv/my%20images/', 'oci:///srv/layouts', 'file:///srv/my%20images'],
    ...['s3://bucket/prefix?region=eu', 'https://web.corp/images', 'registry+https://b.corp/x', 'file://srv/images'],
  ]
  const patterns = [{ pattern: 'a.corp/**' }, ...backends.map((backend) => ({ pattern: 'a.corp/**', backend }))]
  expect(backendFolders({ patterns })).toEqual(['/srv/my images', '/srv/layouts'])
})
