import { expect, test } from 'bun:test'
import { withoutNode } from './registry-port.ts'

test.each([
  ['localhost:4880/ghcr.io/org/app:v1', 'http://127.0.0.1:4880', 'ghcr.io/org/app:v1'],
  ['127.0.0.1:4880/debian', 'http://127.0.0.1:4880', 'debian'],
  ['[::1]:4880/debian', 'http://127.0.0.1:4880', 'debian'],
  ['10.0.0.1:4880/debian', 'http://10.0.0.1:4880', 'debian'],
  ['localhost:4880/debian', 'http://10.0.0.1:4880', 'localhost:4880/debian'],
  ['localhost:5000/app', 'http://127.0.0.1:4880', 'localhost:5000/app'],
  ['ghcr.io/localhost:4880/app', 'http://127.0.0.1:4880', 'ghcr.io/localhost:4880/app'],
])('%s of the node at %s is %s', (image, base, name) => {
  expect(withoutNode(image, base)).toBe(name)
})
