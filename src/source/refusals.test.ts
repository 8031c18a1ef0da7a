import { expect, test } from 'bun:test'
import { remedy } from './refusals.ts'

const account = 'registry.corp'

test.each([
  [
    '/run/credentials/shoal.service/docker.json',
    'as root, "docker login registry.corp", then "systemctl restart shoal", which copies that login',
  ],
  [
    '/etc/shoal/docker.json',
    '"docker login registry.corp", then "shoal install" with its file as --credentials-file, of which /etc/shoal/docker.json is a copy',
  ],
])('nobody is told to log in into a copy, which %s is, but how to have it made anew', (file, again) => {
  expect(remedy({ account, file, withCredentials: false })).toBe(
    `there are no credentials for registry.corp in ${file}: ${again}`,
  )
  expect(remedy({ account, file, withCredentials: true })).toBe(
    `the credentials for registry.corp in ${file} do not allow it; check them, or log in again: ${again}`,
  )
})

test('a file of whoever runs the node is where docker login puts it', () => {
  const file = '/home/me/.docker/config.json'
  expect(remedy({ account, file, withCredentials: false })).toBe(
    `put credentials for registry.corp into ${file}, for instance with "docker login registry.corp"`,
  )
  expect(remedy({ account, file, withCredentials: true })).toEndWith('log in again with "docker login registry.corp"')
})
