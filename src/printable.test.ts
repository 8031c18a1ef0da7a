import { expect, test } from 'bun:test'
import { join } from 'node:path'
import { plainText, printable } from './printable.ts'

const controls = Array.from({ length: 0xa0 }, (_, code) => String.fromCharCode(code)).filter((sign) =>
  /\p{Cc}/u.test(sign),
)

test('nothing of what is printed is a command to a terminal, and lines, tabs and JSON stay as they are', () => {
  expect(controls).toHaveLength(65)
  const said = `Größe 日本 👍 ${controls.join('')}`
  expect(printable(said)).not.toMatch(/(?![\n\t])\p{Cc}/u)
  expect(printable('a\tb\n\u001b[2J\u009b2J\u007f')).toBe('a\tb\n\\u001b[2J\\u009b2J\\u007f')
  expect(JSON.parse(printable(JSON.stringify({ said }, null, 2)))).toEqual({ said })
})

test('of what another node says nothing is, nor another line', () => {
  const schema = plainText(80)
  expect(schema.parse(`1.0 ${controls.join('')}`)).toBe(`1.0 ${'?'.repeat(65)}`)
  // Whoever passes it on has no more than it had.
  expect(schema.parse(schema.parse(`1.0 ${controls.join('')}`))).toHaveLength(69)
  expect(schema.safeParse('x'.repeat(81)).success).toBe(false)
})

test.each([
  [
    'standard output',
    ['pin'],
    { pins: [{ name: 'a\u001b]0;b\u0007', blobs: 0, bytes: 0, missing: 0 }] },
    'a\\u001b]0;b\\u0007',
  ],
  ['standard error', ['unpin', 'x'], { error: { message: 'no\u009b2J' } }, 'no\\u009b2J'],
])('what a stranger says is printed to %s and not carried out', async (_, command, said, shown) => {
  using server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    fetch: ({ method }) => Response.json(said, { status: method === 'DELETE' ? 404 : 200 }),
  })
  const shoal = [process.execPath, join(import.meta.dir, 'main.ts'), ...command]
  const child = Bun.spawn([...shoal, '--admin-addr', `127.0.0.1:${server.port}`], { stdout: 'pipe', stderr: 'pipe' })
  const printed = (await child.stdout.text()) + (await child.stderr.text())
  expect(printed).toContain(shown)
  expect(printed).not.toMatch(/(?!\n)\p{Cc}/u)
})
