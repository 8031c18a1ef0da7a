/** Each row of the table of bad input is answered as it says there. `scripts/bad-input` prints the answers. */
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { BadInput } from './bad-input/table.ts'

const bad = await BadInput.read()
beforeAll(() => bad.start())
afterAll(() => bad.close())

test.each(bad.requests.map((request) => [request.what, request.port ?? 'registry', request] as const))(
  '%s is answered on the %s port',
  async (_what, _port, request) => {
    const answer = await bad.send(request)
    expect(answer.status).toBe(request.status)
    if (request.says) expect(answer.text).toMatch(request.says)
    // What is refused is refused in the API's own words, without the inside of the node.
    expect(answer.text).not.toMatch(/\n\s+at |node_modules|\.ts:[0-9]/)
    if (request.method === 'HEAD') expect(answer.body).toBe('')
  },
)

test.each(bad.commands.map((command) => [command.what, command] as const))(
  'on the command line, %s ends with a sentence that helps',
  async (_what, command) => {
    const { code, text } = await bad.run(command)
    expect(text).toMatch(command.says)
    expect(code).toBe(command.code)
    expect(text).not.toMatch(/\n\s+at |node_modules|secret/)
  },
  30_000,
)

test('after all of that the node serves', async () => {
  expect(await bad.alive()).toBe(true)
})
