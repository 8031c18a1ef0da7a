import { afterEach, beforeEach, expect, test } from 'bun:test'
import { FakeShell } from '../../test/fakes/shell.ts'
import { digestOf } from '../oci/digest.ts'
import { parseTag, repositoryOf } from '../oci/reference.ts'
import { openSqlite } from '../state/sqlite.ts'
import type { State } from '../state/state.ts'

const [a, b] = ['a', 'b'].map((text) => digestOf(Buffer.from(text)))
const app = repositoryOf('ghcr.io', 'org/app')
const v1 = parseTag('v1')
const day = (count: number) => Date.UTC(2026, 0, count)

let shell: FakeShell
let state: State
beforeEach(async () => {
  shell = new FakeShell()
  state = await openSqlite(':memory:')
  shell.view.tags = state.tags
  const entry = { mediaType: 'm', size: 2048, by: 'ann' }
  await state.tags.set(app, v1, { ...entry, digest: a!, at: day(1) })
  await state.tags.set(app, v1, { ...entry, digest: b!, at: day(3) })
  await state.tags.set(app, v1, { ...entry, digest: b!, at: day(4) })
  await state.tags.set(repositoryOf('docker.io', 'debian'), parseTag('13'), { ...entry, digest: a!, at: day(2) })
})
afterEach(async () => {
  await shell.close()
  await state.close()
})

test('lists repositories, and the tags of one', async () => {
  expect((await shell.shoal('tags')).out).toBe('docker.io/library/debian\nghcr.io/org/app')
  const line = `v1  ${b}  since 2026-01-03T00:00:00.000Z, seen 2026-01-04T00:00:00.000Z; manifest of 2 KiB`
  expect(await shell.shoal('tags', 'ghcr.io/org/app')).toEqual({ code: 0, out: line, err: '' })
  expect((await shell.shoal('tags', 'ghcr.io/org/app:v1')).out).toBe(line)
  expect((await shell.shoal('tags', 'debian')).out).toStartWith(`13  ${a}`)
  expect((await shell.shoal('tags', 'ghcr.io/org/none')).out).toBe('no tags are known of ghcr.io/org/none')
})

test('says what a tag pointed to yesterday, and all it ever pointed to', async () => {
  const then = await shell.shoal('tags', 'ghcr.io/org/app:v1', '--at', '2026-01-02', '--json')
  expect(JSON.parse(then.out)).toMatchObject({ tag: 'v1', digest: a, at: '2026-01-01T00:00:00.000Z', by: 'ann' })
  expect((await shell.shoal('tags', 'ghcr.io/org/app:v1', '--at', '1h')).out).toContain(b!)
  await state.tags.point(app, v1, { mediaType: '', size: 0, by: 'bob', at: day(9) })
  expect((await shell.shoal('tags', 'ghcr.io/org/app:v1', '--history')).out).toBe(
    `2026-01-09T00:00:00.000Z  taken away  by bob\n2026-01-03T00:00:00.000Z  ${b}  by ann\n2026-01-01T00:00:00.000Z  ${a}  by ann`,
  )
  const gone = await shell.shoal('tags', 'ghcr.io/org/app:v1')
  expect([gone.code, gone.err]).toEqual([1, expect.stringContaining('nothing is known of ghcr.io/org/app:v1')])
})

test('goes on to the next page until there is none', async () => {
  const many = repositoryOf('ghcr.io', 'org/many')
  const names = Array.from({ length: 1001 }, (_, i) => `t${String(i).padStart(4, '0')}`)
  for (const name of names)
    await state.tags.set(many, parseTag(name), { digest: a!, mediaType: 'm', size: 1, at: 1, by: 'n' })
  const { out } = await shell.shoal('tags', 'ghcr.io/org/many', '--json')
  expect(JSON.parse(out).tags.map(({ tag }: { tag: string }) => tag)).toEqual(names)
})

test('what cannot be answered is said, with what to do', async () => {
  expect(await shell.shoal('tags', 'debian', '--history')).toMatchObject({
    code: 2,
    err: expect.stringContaining('--history is for one tag: shoal tags debian:v1'),
  })
  expect(await shell.shoal('tags', 'debian:13', '--history', '--at', '1h')).toMatchObject({
    code: 2,
    out: '',
    err: expect.stringContaining('--history is of all times, and --at of one'),
  })
  expect(await shell.shoal('tags', `ghcr.io/org/app:v1@${a}`, '--json')).toMatchObject({
    code: 2,
    err: expect.stringContaining('names a digest, and tags lead to digests: shoal tags ghcr.io/org/app:v1'),
  })
  expect((await shell.shoal('tags', 'debian:13', '--at', 'soon')).code).toBe(2)
  expect((await shell.shoal('tags', 'debian:13', '--at', '2020-01-01')).err).toContain('at 2020-01-01T00:00:00.000Z')
  expect((await shell.shoal('tags', 'UPPER')).err).toContain('is not a repository name')
  shell.view.tags = undefined
  expect((await shell.shoal('tags')).err).toContain('ask a seed or a scheduler')
})
