import { afterEach, beforeEach, describe, expect, spyOn, test } from 'bun:test'
import { bytesOf } from '../../test/fakes/bytes.ts'
import { FakeClock } from '../../test/fakes/clock.ts'
import { MemoryStore } from '../../test/fakes/memory-store.ts'
import { Failure } from '../failure.ts'
import { digestOf } from '../oci/digest.ts'
import { type Repository, repositoryOf } from '../oci/reference.ts'
import { openSqlite } from '../state/sqlite.ts'
import type { State } from '../state/state.ts'
import { silentLog } from '../telemetry/log.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import { Pusher } from './pusher.ts'
import { Uploads } from './uploads.ts'

const one = repositoryOf('apps.corp', 'one')
const other = repositoryOf('apps.corp', 'other')
const bytes = bytesOf(300_000)
const digest = digestOf(bytes)

let state: State
let store: MemoryStore
let pusher: Pusher

beforeEach(async () => {
  const clock = new FakeClock()
  state = await openSqlite(':memory:')
  store = new MemoryStore({ clock })
  const signer = { id: 'me', sign: () => new Uint8Array(64) }
  const uploads = new Uploads(store, clock)
  const metrics = createMetrics()
  const wall = () => clock.wall()
  pusher = new Pusher({ store, state, uploads, signer, stored: () => {}, wall, log: silentLog, metrics })
})
afterEach(async () => {
  await pusher.uploads.close()
  await state.close()
})

async function push(repository: Repository): Promise<void> {
  const upload = pusher.uploads.begin(repository, 'ann')
  await upload.append(
    (async function* () {
      yield bytes
    })(),
  )
  await pusher.finish(upload, digest)
}

const pinned = () => store.pins(digest).length > 0

describe('what was pushed', () => {
  test('stays as long as one repository has it', async () => {
    await push(one)
    await push(other)
    await pusher.deleteBlob(one, digest, 'ann')
    expect(pinned()).toBe(true)
    await pusher.deleteBlob(other, digest, 'ann')
    expect(pinned()).toBe(false)
  })

  test('stays when a repository gets it in the moment in which the last one loses it', async () => {
    await push(one)
    const { contents } = state
    const ask = contents.repositoriesOf.bind(contents)
    let asked = 0
    spyOn(contents, 'repositoriesOf').mockImplementation(async (digest) => {
      const answer = await ask(digest)
      // All of another push comes between the answer and what follows from it.
      if (++asked === 1) await push(other)
      return answer
    })
    await pusher.deleteBlob(one, digest, 'ann')
    expect(await state.contents.find(other, digest)).toBeDefined()
    expect(pinned()).toBe(true)
  })

  test('stays when the last one loses it while another repository is about to get it', async () => {
    await push(one)
    const { contents } = state
    const add = contents.add.bind(contents)
    spyOn(contents, 'add').mockImplementation(async (repository, content) => {
      await pusher.deleteBlob(one, digest, 'ann')
      return add(repository, content)
    })
    await push(other)
    expect(await state.contents.find(one, digest)).toBeUndefined()
    expect(pinned()).toBe(true)
  })
})

describe('an upload whose end fails', () => {
  test.each(['the backend', 'the state'])('because of %s is over, and is sent again', async (whose) => {
    let away = true
    const fails = async () => {
      if (away) throw new Failure('try-later', 'it cannot be reached')
    }
    if (whose === 'the backend') pusher.onPushed(fails)
    const add = state.contents.add.bind(state.contents)
    if (whose === 'the state')
      spyOn(state.contents, 'add').mockImplementation((...of) => fails().then(() => add(...of)))
    await expect(push(one)).rejects.toMatchObject({ code: 'try-later' })
    expect(pusher.uploads.size).toBe(0)
    away = false
    await push(one)
    expect((await state.contents.find(one, digest))?.size).toBe(bytes.length)
    expect(pusher.uploads.size).toBe(0)
  })
})
