/** A push after a seed's state or disk was lost: clients do not send what they are told is there. */
import { afterEach, describe, expect, test } from 'bun:test'
import { refuses } from '../../test/conformance/source.ts'
import { bytesOf } from '../../test/fakes/bytes.ts'
import { FakeClock } from '../../test/fakes/clock.ts'
import { MemoryStore } from '../../test/fakes/memory-store.ts'
import { Failure } from '../failure.ts'
import { digestOf } from '../oci/digest.ts'
import { manifestTypes } from '../oci/media.ts'
import { parseTag, repositoryOf } from '../oci/reference.ts'
import { openSqlite } from '../state/sqlite.ts'
import type { State } from '../state/state.ts'
import { silentLog } from '../telemetry/log.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import { Pusher } from './pusher.ts'
import { Uploads } from './uploads.ts'

const repository = repositoryOf('apps.corp', 'app')
const layer = bytesOf(1000)
const part = { mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: digestOf(layer), size: layer.length }
const manifest = Buffer.from(
  JSON.stringify({ schemaVersion: 2, mediaType: manifestTypes.ociManifest, config: part, layers: [part] }),
)
let state: State | undefined
afterEach(() => state?.close())

async function pusherWith(atBackend: boolean, held?: boolean): Promise<Pusher> {
  state = await openSqlite(':memory:')
  const clock = new FakeClock()
  const store = new MemoryStore({ clock })
  return new Pusher({
    store,
    state,
    uploads: new Uploads(store, clock),
    signer: { id: 'me' as never, sign: () => new Uint8Array(64) },
    kept: async () => {
      if (atBackend) return { size: layer.length, mediaType: 'application/octet-stream' }
      throw new Failure('no-blob', 'it is not there')
    },
    ...(held === undefined ? {} : { held: async () => held }),
    stored: () => {},
    wall: () => clock.wall(),
    log: silentLog,
    metrics: createMetrics(),
  })
}

const push = (pusher: Pusher) =>
  pusher.putManifest(repository, parseTag('v1'), { bytes: manifest, mediaType: manifestTypes.ociManifest, by: 'ann' })

test('a manifest whose layers the backend has is taken, and the state knows of them again', async () => {
  const pusher = await pusherWith(true, true)
  expect((await push(pusher)).digest).toBe(digestOf(manifest))
  expect((await state?.contents.find(repository, part.digest))?.size).toBe(layer.length)
})

test('a manifest whose layers nobody has is refused', async () => {
  await refuses(push(await pusherWith(false)), 'missing-parts')
})

describe('a layer that the state tells of', () => {
  const other = repositoryOf('apps.corp', 'other')
  const known = { kind: 'blob', digest: part.digest, size: part.size, mediaType: part.mediaType, at: 0 } as const
  const layerThere = { repository, kind: 'blob', digest: part.digest } as const

  test.each([undefined, false])('and no disk has any more is to be sent again', async (held) => {
    const pusher = await pusherWith(false, held)
    await state!.contents.add(repository, known)
    await refuses(push(pusher), 'missing-parts')
    await refuses(pusher.rely(layerThere), 'no-blob')
    expect(await pusher.mount(other, part.digest, repository)).toBe(false)
    expect(await state!.contents.find(other, part.digest)).toBeUndefined()
  })

  test('and that another seed has is relied on', async () => {
    const pusher = await pusherWith(false, true)
    await state!.contents.add(repository, known)
    await pusher.rely(layerThere)
    expect(await pusher.mount(other, part.digest)).toBe(true)
    expect((await push(pusher)).digest).toBe(digestOf(manifest))
  })

  test('and was lost is taken once it was sent again', async () => {
    const pusher = await pusherWith(false)
    await state!.contents.add(repository, known)
    const upload = pusher.uploads.begin(repository, 'ann')
    await upload.append(new Blob([layer]).stream())
    await pusher.finish(upload, part.digest)
    expect((await push(pusher)).digest).toBe(digestOf(manifest))
  })
})
