import { afterEach, expect, spyOn, test } from 'bun:test'
import { FakeShell } from '../../test/fakes/shell.ts'
import { evictionSchema } from '../admin/view.ts'

const shells: FakeShell[] = []
afterEach(async () => {
  await Promise.all(shells.splice(0).map((shell) => shell.close()))
})

function node() {
  const shell = new FakeShell()
  shells.push(shell)
  return { view: shell.view, gc: (...args: string[]) => shell.shoal('gc', ...args) }
}

test('a dry run says what would go and why, and nothing goes', async () => {
  const { view, gc } = node()
  const { code, out } = await gc('--dry-run', '--to', '0')
  expect(code).toBe(0)
  expect(out).toContain('would remove 3 blobs')
  expect(out.match(/ goes .*: least recently used/g)).toHaveLength(3)
  expect(view.stored.size).toBe(3)
})

test('without it they go', async () => {
  const { view, gc } = node()
  const { code, out } = await gc('--to', '0')
  expect([code, out.split('\n')[0]]).toEqual([0, expect.stringContaining('removed 3 blobs (66 MiB), kept 0 (0 B)')])
  expect(view.stored.size).toBe(0)
})

test.each([
  ['removed 3 blobs', 'were not applied', []],
  ['would remove 3 blobs', 'could not be applied', ['--dry-run']],
])('%s, and why rules %s to what was pushed', async (first, rules, flags) => {
  const { view, gc } = node()
  const evict = view.evict.bind(view)
  view.evict = async (bytes, carryOut) => ({ ...(await evict(bytes, carryOut)), trouble: 'no route to the state' })
  const { code, out } = await gc('--to', '0', ...flags)
  expect([code, out]).toEqual([0, expect.stringContaining(first)])
  expect(out).toEndWith(`\nrules ${rules} to what was pushed: no route to the state`)
})

test('what takes long is waited for', async () => {
  const { gc } = node()
  const deadlines = spyOn(AbortSignal, 'timeout')
  try {
    expect(await gc()).toMatchObject({ code: 0, err: '' })
    expect(deadlines).not.toHaveBeenCalled()
  } finally {
    deadlines.mockRestore()
  }
})

test('the limit is the node’s own unless said, and JSON is what the API has', async () => {
  const { view, gc } = node()
  const facts = evictionSchema.parse(JSON.parse((await gc('--json')).out))
  expect([facts.limit, facts.done, facts.remove, facts.keep.length]).toEqual([20 * 1024 ** 3, true, [], 3])
  expect(view.stored.size).toBe(3)
})

test.each(['lots', '80%', '-1', ''])('--to=%s is refused with what is expected', async (text) => {
  const { code, err } = await node().gc(`--to=${text}`)
  expect(code).toBe(2)
  expect(err).toContain('expected a size such as 20GiB')
})
