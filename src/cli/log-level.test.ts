import { afterEach, expect, test } from 'bun:test'
import { FakeShell } from '../../test/fakes/shell.ts'

const shells: FakeShell[] = []
afterEach(async () => {
  await Promise.all(shells.splice(0).map((shell) => shell.close()))
})

function node() {
  const shell = new FakeShell()
  shells.push(shell)
  return { view: shell.view, level: (...args: string[]) => shell.shoal('log-level', ...args) }
}

test('says what it is, and changes it, for a time where one is given', async () => {
  const { view, level } = node()
  expect(await level()).toEqual({ code: 0, out: 'info', err: '' })
  expect((await level('warn')).out).toBe('warn (by its settings: info)')
  expect((await level('debug', '--for', '10m')).out).toBe('debug until 2026-01-01T12:10:00.000Z, then info')
  expect(JSON.parse((await level('--json')).out)).toEqual({ ...view.level })
})

test.each([
  [['chatty'], 2, /'chatty' is invalid.*debug, info, warn, error/],
  [[''], 2, /debug, info, warn, error/],
  [['debug', '--for', '2d'], 1, /a day at most/],
  [['debug', '--for', 'soon'], 2, /duration such as 90s or 10m/],
  [['debug', '--for', '0'], 2, /duration such as 90s or 10m/],
  [['--for', '10m'], 2, /wants a level/],
])('%p is refused with %p, and nothing changes', async (args, refused, said) => {
  const { view, level } = node()
  const { code, err } = await level(...args)
  expect(code).toBe(refused)
  expect(err).toMatch(said)
  expect(view.level.level).toBe('info')
})
