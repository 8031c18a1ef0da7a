import { expect, test } from 'bun:test'
import { repositoryOf } from '../oci/reference.ts'
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
