import { afterAll, expect, test } from 'bun:test'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { awsCredentials } from './aws-credentials.ts'

const folder = mkdtempSync(join(tmpdir(), 'shoal-keys-'))
afterAll(() => rmSync(folder, { recursive: true }))

test('keys count from when they are there, and until then it is said where they are looked for', async () => {
  const file = join(folder, 'credentials')
  const find = awsCredentials({}, ['/none', file])
  const failure = await find().catch((error) => error)
  expect([failure.code, failure.message]).toEqual(['denied', expect.stringContaining(`into /none or ${file}, or give`)])
  writeFileSync(file, '[default]\naws_access_key_id = me\naws_secret_access_key = hidden\n')
  expect((await find()).accessKeyId).toBe('me')
})

const profiles = `[default]
aws_access_key_id = everybody
aws_secret_access_key = shared

# Of the nodes.
[ nodes ]
AWS_ACCESS_KEY_ID=node
aws_secret_access_key = hidden
aws_session_token = lent
[half]
aws_access_key_id = half
`

test.each([
  ['nodes', 'node', 'hidden', 'lent'],
  ['default', 'everybody', 'shared', undefined],
  ['', 'everybody', 'shared', undefined],
  [undefined, 'everybody', 'shared', undefined],
])('with AWS_PROFILE %p they are those of %s', async (profile, id, secret, token) => {
  const file = join(folder, 'profiles')
  writeFileSync(file, profiles)
  const found = await awsCredentials({ AWS_PROFILE: profile }, [file])()
  expect([found.accessKeyId, found.secretAccessKey.reveal(), found.sessionToken?.reveal()]).toEqual([id, secret, token])
})

test.each(['half', 'nobody'])('a profile that is not whole is named: %s', async (profile) => {
  const file = join(folder, 'profiles')
  writeFileSync(file, profiles)
  const failure = await awsCredentials({ AWS_PROFILE: profile }, [file])().catch((error) => error)
  expect([failure.code, failure.message]).toEqual(['denied', expect.stringContaining(`in a profile [${profile}]`)])
})

test('those of the environment come first', async () => {
  const file = join(folder, 'profiles')
  writeFileSync(file, profiles)
  const env = { AWS_ACCESS_KEY_ID: 'me', AWS_SECRET_ACCESS_KEY: 'mine', AWS_PROFILE: 'nodes' }
  expect((await awsCredentials(env, [file])()).accessKeyId).toBe('me')
})
