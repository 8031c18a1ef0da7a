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
