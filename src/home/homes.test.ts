import { expect, test } from 'bun:test'
import { repositoryOf } from '../oci/reference.ts'
import type { Backend } from './backends/backend.ts'
import { Homes } from './homes.ts'

const homes = new Homes([{ pattern: 'apps.corp/team/*' }, { pattern: 'apps.corp/**' }, { pattern: 'docker.io/ours/*' }])
const of = (registry: string, name: string) => homes.of(repositoryOf(registry, name))?.pattern

test('the first pattern that matches says where a repository lives', () => {
  expect(of('apps.corp', 'team/app')).toBe('apps.corp/team/*')
  expect(of('apps.corp', 'team/app/deeper')).toBe('apps.corp/**')
  expect(of('apps.corp', 'app')).toBe('apps.corp/**')
  expect(of('docker.io', 'ours/app')).toBe('docker.io/ours/*')
})

test('what matches none lives out in the world', () => {
  expect(of('docker.io', 'library/debian')).toBeUndefined()
  expect(of('other.corp', 'team/app')).toBeUndefined()
})

test('a deletion is remembered for good unless the repository is known to have no backend', () => {
  const backend = {} as Backend
  const some = new Homes([{ pattern: 'apps.corp/backed/*', backend }, { pattern: 'apps.corp/**' }])
  const lasting = (registry: string, name: string) => some.lasting(repositoryOf(registry, name))
  expect(lasting('apps.corp', 'backed/app')).toBe('all')
  expect(lasting('apps.corp', 'app')).toBe('tags')
  expect(lasting('kept.elsewhere', 'app')).toBe('all')
})
