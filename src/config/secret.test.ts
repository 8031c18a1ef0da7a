import { expect, test } from 'bun:test'
import { inspect } from 'node:util'
import { Secret } from './secret.ts'

test('a secret shows itself only when asked by name', () => {
  const secret = new Secret('hunter2')
  expect(secret.reveal()).toBe('hunter2')
  for (const printed of [`${secret}`, JSON.stringify({ secret }), inspect(secret), Bun.inspect({ secret })]) {
    expect(printed).toContain('[redacted]')
    expect(printed).not.toContain('hunter2')
  }
})
