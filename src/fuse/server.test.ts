import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { FakeClock } from '../../test/fakes/clock.ts'
import { FakeFuse } from '../../test/fakes/fuse.ts'
import { until } from '../../test/lab/until.ts'
import { errnos } from './libc.ts'
import { FuseServer } from './server.ts'

const page = 4096
const readDeadlineMs = 20_000
const file = { name: 'layer', node: 2, size: 100 * page, fd: -1, block: page }

let fuse: FakeFuse
let clock: FakeClock
let server: FuseServer
let failed: string[]
let died: string[]
/** Offsets that come at once, from another file than that which threads read. */
let here: Set<number>

beforeEach(() => {
  fuse = new FakeFuse()
  clock = new FakeClock()
  failed = []
  died = []
  here = new Set()
  server = new FuseServer({
    fuse: fuse.fd,
    clock,
    threads: 2,
    readDeadlineMs,
    failed: (name, error) => failed.push(`${name}: ${error.message}`),
    died: (error) => died.push(error.message),
  })
  server.add({
    ...file,
    bits: new SharedArrayBuffer(16),
    ctime: new SharedArrayBuffer(8),
    async read(offset, length, signal) {
      if (here.has(offset)) return new Uint8Array(length).fill(7)
      signal.throwIfAborted()
      return new Promise(() => {})
    },
  })
  server.start()
})
afterEach(async () => {
  await server.stop()
  fuse.close()
})

/** A read that gets nothing by its deadline. */
async function late(offset: number) {
  const asked = fuse.ask(file.node, offset, page)
  await until('it waits', 10, async () => server.counts.waiting === 1, 2)
  clock.advance(readDeadlineMs)
  await until('it is answered', 10, async () => fuse.answer(asked) !== undefined, 2)
  expect(fuse.answer(asked)?.errno).toBe(errnos.EIO)
}

describe('a read beside one that was late', () => {
  test('gets what is here', async () => {
    await late(0)
    here.add(page)
    const { errno, body } = await fuse.read(file.node, page, page)
    expect([errno, body.length, body[0]]).toEqual([0, page, 7])
    expect(failed).toEqual(['layer: no verified bytes within 20 s'])
  })

  test('fails at once where it is not, and is counted and told', async () => {
    await late(0)
    expect((await fuse.read(file.node, page, page)).errno).toBe(errnos.EIO)
    expect(server.counts).toEqual({ slow: 2, failed: 2, waiting: 0 })
    expect(failed[1]).toContain('bytes beside it have just not come in time')
  })

  test('waits for its own deadline a moment later', async () => {
    await late(0)
    clock.advance(250)
    const asked = fuse.ask(file.node, page, page)
    await until('it waits', 10, async () => server.counts.waiting === 1, 2)
    clock.advance(readDeadlineMs - 1)
    expect(fuse.answer(asked)).toBeUndefined()
  })
})

test('threads that die are told of and replaced, and the kernel sends again what they had taken', async () => {
  // No thread can look at the time of such a file.
  const broken = { ...file, name: 'broken', node: 3, bits: new SharedArrayBuffer(16), ctime: new SharedArrayBuffer(4) }
  server.add({ ...broken, read: async () => new Uint8Array() })
  await until('both have died', 10, async () => died.length === 2, 2)
  expect(died[0]).toContain('multiple of')
  await server.remove('broken')
  const asked = fuse.ask(file.node, 0, page)
  here.add(0)
  await Bun.sleep(50)
  expect(fuse.answer(asked)).toBeUndefined()
  clock.advance(1000)
  await until('it is answered', 10, async () => fuse.answer(asked) !== undefined, 2)
  const resend = 7
  expect(fuse.notices).toEqual([resend, resend])
  expect(fuse.answer(asked)).toMatchObject({ errno: 0 })
})

test('a file is open as often as the kernel has opened it and not let go, what a server before has left open too', async () => {
  const { node } = file
  expect([server.opened('layer'), await server.closed('layer', 0)]).toEqual([0, true])
  for (let i = 0; i < 2; i++) expect((await fuse.tell('open', node)).errno).toBe(0)
  expect([server.opened('layer'), await server.closed('layer', 0)]).toEqual([2, false])
  await fuse.tell('release', node)
  const closed = server.closed('layer', 100)
  await fuse.tell('release', node)
  clock.advance(50)
  expect([await closed, server.opened('layer')]).toEqual([true, 0])
  expect((await fuse.tell('open', 9)).errno).toBe(errnos.ENOENT)
  const left = {
    ...file,
    bits: new SharedArrayBuffer(16),
    ctime: new SharedArrayBuffer(8),
    read: () => new Promise<never>(() => {}),
  }
  server.add({ ...left, name: 'left', node: 4 }, 2)
  await fuse.tell('release', 4)
  // As it is added once more when it is open here too.
  server.add({ ...left, name: 'left', node: 4 })
  expect(server.opened('left')).toBe(1)
})
