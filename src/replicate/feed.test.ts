import { expect, test } from 'bun:test'
import { copyFileSync } from 'node:fs'
import { stateFiles } from '../../test/fakes/state-files.ts'
import type { NodeId } from '../cluster/node-info.ts'
import { digestOf } from '../oci/digest.ts'
import { parseTag, repositoryOf } from '../oci/reference.ts'
import { openSqlite } from '../state/sqlite.ts'
import type { State } from '../state/state.ts'
import { Feed } from './feed.ts'
import type { Target } from './target.ts'
import { kindOf } from './task.ts'

const file = stateFiles()
const app = repositoryOf('apps.corp', 'team/app')
const digest = digestOf(Buffer.from('an image'))
const target = { id: '**=there', matches: () => true, rule: { deletes: false } } as unknown as Target

async function push(state: State, tag: string): Promise<void> {
  await state.contents.add(app, { digest, kind: 'manifest', mediaType: 'm', size: 1, at: 1 })
  await state.tags.point(app, parseTag(tag), { digest, mediaType: 'm', size: 1, at: 1, by: 'ann' })
}

const waiting = async (state: State) => (await state.work.list(kindOf(target.id), 100)).map(({ key }) => key)

test('a state that is restored from a backup under it is told all that is new there', async () => {
  const [path, backup] = [file(), file()]
  let state = await openSqlite(path)
  const parts = {
    get jobs() {
      return state.jobs
    },
    get tags() {
      return state.tags
    },
    get contents() {
      return state.contents
    },
    get work() {
      return state.work
    },
  }
  const feed = new Feed({ state: parts, target, node: 'n1' as NodeId })
  let now = 1_000_000
  await push(state, 'old')
  await feed.step(now)
  await state.close()
  copyFileSync(path, backup)
  state = await openSqlite(path)
  for (let i = 0; i < 10; i++) await push(state, `lost${i}`)
  await feed.step(++now)
  expect(await waiting(state)).toContain('apps.corp/team/app:lost9')
  await state.close()
  state = await openSqlite(backup)
  await feed.step(++now)
  await push(state, 'new')
  await feed.step(++now)
  expect(await waiting(state)).toContain('apps.corp/team/app:new')
  expect(await waiting(state)).not.toContain('apps.corp/team/app:lost9')
  await state.close()
})

test('a state that once was given the progress of a later one is told from its beginning on', async () => {
  const state = await openSqlite(':memory:')
  await push(state, 'v1')
  await state.jobs.add({ kind: kindOf(target.id), key: 'feed', body: { tags: 1000, contents: 1000 }, at: 1 })
  const feed = new Feed({ state, target, node: 'n1' as NodeId })
  await feed.step(1)
  expect(await waiting(state)).toContain('apps.corp/team/app:v1')
  await state.close()
})
