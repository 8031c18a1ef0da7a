import { afterEach, expect, test } from 'bun:test'
import { FakeShell } from '../../test/fakes/shell.ts'

const shells: FakeShell[] = []
afterEach(async () => {
  await Promise.all(shells.splice(0).map((shell) => shell.close()))
})

function node() {
  const shell = new FakeShell()
  shells.push(shell)
  return { view: shell.view, shoal: (command: string, ...args: string[]) => shell.shoal(command, ...args) }
}

test('an image is pinned for a time, listed and unpinned by its name, slashes and all', async () => {
  const { view, shoal } = node()
  const name = 'ghcr.io/org/app:v1'
  const { code, out } = await shoal('pin', name, '--for', '7m')
  expect([code, out]).toEqual([0, `${name}  until 2026-01-01T12:07:00.000Z: 2 blobs, 1 of them not here yet, 3 MiB`])
  expect([...view.pinned.keys()]).toEqual([name])
  expect((await shoal('pin')).out).toBe(out)
  expect(JSON.parse((await shoal('pin', '--json')).out)).toMatchObject({ pins: [{ name, blobs: 2 }] })
  expect(await shoal('unpin', name)).toMatchObject({ code: 0, out: `unpinned ${name}` })
  expect((await shoal('pin')).out).toBe('nothing is pinned')
})

test('without a time it is pinned until it is unpinned', async () => {
  const { shoal } = node()
  expect((await shoal('pin', 'debian')).out).toStartWith('debian  until it is unpinned: 2 blobs')
})

test('what is not pinned cannot be unpinned, and the command says so', async () => {
  const { code, err } = await node().shoal('unpin', 'debian')
  expect(code).toBe(1)
  expect(err).toContain('nothing is pinned by the name debian')
})

test('--for without a name is wrong usage, and no list', async () => {
  expect(await node().shoal('pin', '--for', '3d')).toMatchObject({
    code: 2,
    out: '',
    err: expect.stringContaining('--for wants a name: shoal pin ghcr.io/org/app:v1 --for 3d'),
  })
})

test.each(['soon', '7', '1s'])('--for %s is wrong usage', async (time) => {
  const { code, err } = await node().shoal('pin', 'debian', '--for', time)
  expect(code).toBe(2)
  expect(err).toContain('such as 24h or 7d')
})
