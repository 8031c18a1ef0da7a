/** A repository that gets what another one has, where the bytes are at their backend alone. */
import { afterEach, beforeEach, expect, test } from 'bun:test'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { collect } from '../../test/conformance/source.ts'
import { bytesOf } from '../../test/fakes/bytes.ts'
import { FakeClock } from '../../test/fakes/clock.ts'
import { MemoryStore } from '../../test/fakes/memory-store.ts'
import { pusherOver } from '../../test/fakes/pusher.ts'
import { FolderObjects } from '../home/backends/folder-objects.ts'
import { ObjectBackend } from '../home/backends/object-backend.ts'
import { isHeld } from '../home/held.ts'
import { Homes } from '../home/homes.ts'
import { Keeping } from '../home/keeping.ts'
import { OwnHome } from '../home/own-home.ts'
import { digestOf } from '../oci/digest.ts'
import { repositoryOf } from '../oci/reference.ts'
import { openSqlite } from '../state/sqlite.ts'
import { silentLog } from '../telemetry/log.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import { homePin } from './pusher.ts'

let dir: string
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'shoal-mounted-'))
})
afterEach(() => rm(dir, { recursive: true, force: true }))

test.each(['through', 'back'] as const)('what only the backend has comes to the other repository: %s', async (mode) => {
  const [first, second] = [repositoryOf('apps.corp', 'first'), repositoryOf('apps.corp', 'second')]
  const layer = bytesOf(100_000, 3)
  const digest = digestOf(layer)
  const clock = new FakeClock()
  const state = await openSqlite(':memory:')
  const store = new MemoryStore({ clock })
  const backend = new ObjectBackend(new FolderObjects(dir, clock))
  const homes = new Homes([{ pattern: 'apps.corp/**', backend }])
  const own = new OwnHome({ homes, state })
  const nobody = { keepers: { of: () => [] }, outbound: () => Promise.reject(new Error('there is nobody')) as never }
  const pusher = pusherOver({
    ...{ store, state, clock, log: silentLog },
    kept: (location) => own.stat(location),
    held: (location) => isHeld(location, { homes, store, ...nobody }),
  })
  const keeping = new Keeping({
    ...{ homes, state, store, clock, mode, seed: true, pinnedFor: homePin, random: () => 0, log: silentLog },
    bring: async (location) =>
      store.put({ digest: location.digest, kind: 'blob' }, await collect((await own.open(location, 0)).body)),
    metrics: createMetrics(),
  })
  pusher.onPushed((event) => keeping.pushed(event))
  keeping.start()
  const settled = async () => {
    for (let tried = 0; (await state.work.count('write-back')).waiting > 0; tried++) {
      if (tried > 1000) throw new Error((await keeping.facts()).some[0]?.error)
      clock.advance(250)
      await Bun.sleep(1)
    }
  }
  try {
    const upload = pusher.uploads.begin(first, 'ann')
    await upload.append(new Blob([layer]).stream())
    await pusher.finish(upload, digest)
    await settled()
    expect(await store.remove(digest)).toBe(true)
    expect(await pusher.mount(second, digest, first)).toBe(true)
    await settled()
    expect((await backend.stat({ repository: second, kind: 'blob', digest })).size).toBe(layer.length)
    expect(store.pins(digest)).toEqual([])
  } finally {
    await keeping.close()
    await pusher.uploads.close()
    await state.close()
  }
})
