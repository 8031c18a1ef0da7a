import { afterAll, expect, test } from 'bun:test'
import { mkdir, mkdtemp, readdir, rm, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { backendConformance } from '../../../test/conformance/backend.ts'
import { refuses } from '../../../test/conformance/source.ts'
import { systemClock } from '../../clock.ts'
import { FolderObjects } from './folder-objects.ts'
import { ObjectBackend } from './object-backend.ts'
import { writtenBytes } from './objects.ts'

const folders: string[] = []
afterAll(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true }))))

async function folder(): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), 'shoal-backend-'))
  folders.push(made)
  return made
}

backendConformance('a directory', async () => {
  const dir = await folder()
  return { again: () => new ObjectBackend(new FolderObjects(dir, systemClock)), stop: async () => {} }
})

const hello = writtenBytes(Buffer.from('hello'))

test('a directory that is not there is not made: its file system may not be mounted', async () => {
  const dir = join(await folder(), 'not-mounted')
  const objects = new FolderObjects(dir, systemClock)
  await refuses(objects.put('a', hello), 'unavailable')
  await mkdir(dir)
  await objects.put('a', hello)
  expect(await objects.size('a')).toBe(5)
})

test('a file system that is mounted there later, or anew, is written like the one before', async () => {
  const dir = await folder()
  const objects = new FolderObjects(dir, systemClock)
  await objects.put('a', hello)
  await rm(join(dir, '.incoming'), { recursive: true })
  await objects.put('b', hello)
  expect(await objects.size('b')).toBe(5)
})

test('what a writer that ended left behind goes after a day, and not before', async () => {
  const dir = await folder()
  const incoming = join(dir, '.incoming')
  await mkdir(incoming)
  await writeFile(join(incoming, 'old'), 'x')
  await writeFile(join(incoming, 'new'), 'x')
  const yesterday = Date.now() / 1000 - 25 * 3600
  await utimes(join(incoming, 'old'), yesterday, yesterday)
  await new FolderObjects(dir, systemClock).put('a', hello)
  expect(await readdir(incoming)).toEqual(['new'])
})

test('what was given up in the middle leaves nothing behind', async () => {
  const dir = await folder()
  const objects = new FolderObjects(dir, systemClock)
  const controller = new AbortController()
  const content = {
    size: 10,
    async *read() {
      yield Buffer.from('hello')
      controller.abort()
      yield Buffer.from('world')
    },
  }
  await refuses(objects.put('a', content, controller.signal), 'cancelled')
  expect(await objects.size('a')).toBeUndefined()
  expect(await readdir(join(dir, '.incoming'))).toEqual([])
})

test('a list is in order, goes on after a name, and leaves folders out', async () => {
  const objects = new FolderObjects(await folder(), systemClock)
  for (const name of ['b', 'a', 'c', 'B', 'deeper/d']) await objects.put(`tags/${name}`, hello)
  expect(await objects.list('tags/', '', 10)).toEqual(['B', 'a', 'b', 'c'])
  expect(await objects.list('tags/', 'a', 1)).toEqual(['b'])
  expect(await objects.list('nothing/', '', 10)).toEqual([])
})
