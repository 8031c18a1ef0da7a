import { afterEach, beforeEach, describe, expect, spyOn, test } from 'bun:test'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { collect, refuses } from '../../test/conformance/source.ts'
import { bytesOf } from '../../test/fakes/bytes.ts'
import { FakeClock } from '../../test/fakes/clock.ts'
import { MemoryStore } from '../../test/fakes/memory-store.ts'
import { RecordedLog } from '../../test/fakes/registry-source.ts'
import { seal, unseal } from '../../test/fakes/sealed.ts'
import { webOptions } from '../../test/fakes/web-options.ts'
import type { HomeWrite } from '../config/settings.ts'
import { Failure, type FailureCode } from '../failure.ts'
import { type Digest, digestOf } from '../oci/digest.ts'
import { manifestTypes } from '../oci/media.ts'
import { parseTag, repositoryOf } from '../oci/reference.ts'
import type { Location } from '../source/source.ts'
import { openSqlite } from '../state/sqlite.ts'
import type { Content, State } from '../state/state.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import type { Backend, BackendWrites } from './backends/backend.ts'
import { backendOf } from './backends/backend-of.ts'
import { FolderObjects } from './backends/folder-objects.ts'
import { ObjectBackend } from './backends/object-backend.ts'
import { Homes } from './homes.ts'
import { WriteBack, type WriteBackOptions } from './write-back.ts'

const repository = repositoryOf('apps.corp', 'team/app')
const tag = parseTag('v1')
const layer = bytesOf(300_000, 5)
const manifest = Buffer.from(JSON.stringify({ schemaVersion: 2, layers: [{ digest: digestOf(layer) }] }))

let dir: string
let clock: FakeClock
let state: State
let store: MemoryStore
let writeBack: WriteBack
let log: RecordedLog
/** What the backend was asked to do, in order. */
let asked: string[]
/** What it answers instead, if anything. */
let trouble: FailureCode | undefined
/** Is awaited before the backend does it. */
let hindrance: (what: string) => Promise<void>

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'shoal-write-back-'))
  clock = new FakeClock()
  state = await openSqlite(':memory:')
  store = new MemoryStore({ clock })
  asked = []
  log = new RecordedLog()
  trouble = undefined
  hindrance = async () => {}
})
afterEach(async () => {
  await writeBack.close()
  await state.close()
  await rm(dir, { recursive: true, force: true })
})

function begin(mode: HomeWrite, bring = noBring, backend = watched()): WriteBack {
  writeBack = new WriteBack({
    homes: new Homes([{ pattern: 'apps.corp/**', backend }]),
    state,
    store,
    bring,
    mode,
    pinnedFor: 'home',
    clock,
    random: () => 0,
    log,
    metrics: createMetrics(),
  })
  writeBack.start()
  return writeBack
}

/** Does `work`, and `then` right after it has first asked which repositories have something. */
async function meanwhile(work: () => Promise<unknown>, then: () => Promise<unknown>): Promise<void> {
  const { contents } = state
  const ask = contents.repositoriesOf.bind(contents)
  let first = true
  const spy = spyOn(contents, 'repositoriesOf').mockImplementation(async (digest) => {
    const answer = await ask(digest)
    if (first) {
      first = false
      await then()
    }
    return answer
  })
  await work()
  spy.mockRestore()
}

const noBring: WriteBackOptions['bring'] = async () => {
  throw new Failure('unavailable', 'nobody has it')
}

const backend = () => new ObjectBackend(new FolderObjects(dir, clock))

/** A backend that notes what it is asked, and fails when it should. */
function watched(): Backend {
  const inner = backend()
  const writes = inner.writes!
  const note = async <T>(what: string, work: () => Promise<T>) => {
    if (trouble) throw new Failure(trouble, 'the backend is not there')
    asked.push(what)
    await hindrance(what)
    return work()
  }
  const noted: BackendWrites = {
    put: (location, ...rest) => note(`put ${location.kind}`, () => writes.put(location, ...rest)),
    remove: (location, ...rest) => note(`remove ${location.kind}`, () => writes.remove(location, ...rest)),
    setTag: (...rest) => note('tag', () => writes.setTag(...rest)),
    removeTag: (...rest) => note('untag', () => writes.removeTag(...rest)),
  }
  return {
    name: inner.name,
    writes: noted,
    resolve: (...rest) => inner.resolve(...rest),
    stat: (location, signal) => inner.stat(location, signal),
    open: (...rest) => inner.open(...rest),
    pass: (...rest) => inner.pass(...rest),
  }
}

/** As a push leaves it: in the store, pinned, and in the state. */
async function pushed(): Promise<void> {
  for (const [bytes, kind, parts] of [
    [layer, 'blob', []],
    [manifest, 'manifest', [digestOf(layer)]],
  ] as const) {
    const digest = digestOf(bytes)
    const mediaType = kind === 'manifest' ? manifestTypes.ociManifest : 'application/octet-stream'
    await store.put({ digest, kind, mediaType }, bytes)
    store.pin({ digest, reason: 'home' })
    const content: Content = { digest, kind, mediaType, size: bytes.length, at: clock.wall(), parts }
    await state.contents.add(repository, content)
  }
  await setTag()
}

function setTag(): Promise<void> {
  const to = { digest: digestOf(manifest), mediaType: manifestTypes.ociManifest, size: manifest.length }
  return state.tags.set(repository, tag, { ...to, at: clock.wall(), by: 'ann' })
}

const at = (kind: Location['kind'], bytes: Uint8Array): Location => ({ repository, kind, digest: digestOf(bytes) })
const reasons = (digest: Digest) => store.pins(digest).map(({ reason }) => reason)

/** Lets time go on until it is so. */
async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let tried = 0; tried < 2000; tried++) {
    if (await holds()) return
    clock.advance(250)
    await Bun.sleep(1)
  }
  throw new Error('it did not become so')
}
const nothingOwed = async () => (await state.work.count('write-back')).waiting === 0

describe('what is written through', () => {
  test('is at the backend when the client hears of it, and is not pinned any more', async () => {
    begin('through')
    await pushed()
    await writeBack.content(repository, digestOf(layer))
    expect((await backend().stat(at('blob', layer))).size).toBe(layer.length)
    expect(reasons(digestOf(layer))).toEqual([])
    await writeBack.content(repository, digestOf(manifest))
    await writeBack.tag(repository, tag)
    expect((await backend().resolve(repository, tag)).digest).toBe(digestOf(manifest))
    expect(asked).toEqual(['put blob', 'put manifest', 'tag'])
  })

  test('stays pinned when a repository without a backend gets it in the moment in which it is not any more', async () => {
    begin('through')
    await pushed()
    const digest = digestOf(layer)
    const content = (await state.contents.find(repository, digest))!
    await meanwhile(
      () => writeBack.content(repository, digest),
      () => state.contents.add(repositoryOf('other.corp', 'app'), content),
    )
    expect(reasons(digest)).toEqual(['home'])
  })

  test('and is not taken is told to the client, stays pinned, and is brought there later', async () => {
    begin('through')
    await pushed()
    trouble = 'unavailable'
    const failure = await refuses(writeBack.content(repository, digestOf(layer)), 'try-later')
    expect(failure.message).toContain('the backend is not there')
    expect(reasons(digestOf(layer)).sort()).toEqual(['home', 'owed to the backend of apps.corp/team/app'])
    trouble = undefined
    await until(nothingOwed)
    expect((await backend().stat(at('blob', layer))).size).toBe(layer.length)
    expect(reasons(digestOf(layer))).toEqual([])
  })

  test('and can never be taken is told to the client, and is not owed', async () => {
    begin('through')
    await pushed()
    trouble = 'bad-request'
    const failure = await refuses(writeBack.tag(repository, tag), 'bad-request')
    expect(failure.message).toContain('the backend is not there')
    expect(await nothingOwed()).toBe(true)
    expect(reasons(digestOf(layer))).toEqual(['home'])
  })

  test('and was deleted is not held against the client where the backend deletes nothing', async () => {
    begin('through')
    await pushed()
    await state.contents.remove(repository, digestOf(layer))
    await state.tags.set(repository, tag, { mediaType: '', size: 0, at: clock.wall() + 1, by: 'ann' })
    trouble = 'unsupported'
    await writeBack.content(repository, digestOf(layer))
    await writeBack.tag(repository, tag)
    expect(await nothingOwed()).toBe(true)
  })
})

describe.each(['file', 'oci'])('a folder at %s:// that cannot be written when the node starts', (scheme) => {
  test('is owed what is pushed, which its client is told, until it can', async () => {
    if (!seal(dir)) return
    try {
      const folder = backendOf(`${scheme}://${dir}`, webOptions({ clock }))
      begin('through', noBring, folder)
      await pushed()
      const failure = await refuses(writeBack.content(repository, digestOf(layer)), 'try-later')
      expect(failure.status).toBe(503)
      expect(failure.message).toContain('check owner and mode of the directory')
      expect(failure.message).toContain('?write=no')
      expect((await writeBack.facts()).waiting).toBe(1)
      unseal(dir)
      await until(nothingOwed)
      expect((await folder.stat(at('blob', layer))).size).toBe(layer.length)
    } finally {
      unseal(dir)
    }
  })

  test('nor ever, as its URL says, is owed nothing', async () => {
    begin('through', noBring, backendOf(`${scheme}://${dir}?write=no`, webOptions({ clock })))
    await pushed()
    await writeBack.content(repository, digestOf(layer))
    expect(reasons(digestOf(layer))).toEqual(['home'])
    expect(await nothingOwed()).toBe(true)
  })
})

describe('what is deleted and pushed at the same time', () => {
  const digest = digestOf(layer)

  /** The backend is about to do the first such thing; it does when the result is called. */
  async function held(what: string, begun: () => void): Promise<() => void> {
    const [reached, opened] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    hindrance = async (each) => {
      if (each !== what) return
      reached.resolve()
      await opened.promise
    }
    begun()
    await reached.promise
    return opened.resolve
  }

  test.each([1, 2])('is at the backend in the end if it was pushed last, by %i seeds', async (seeds) => {
    const first = begin('through')
    await pushed()
    await first.content(repository, digest)
    const content = (await state.contents.find(repository, digest))!
    await state.contents.remove(repository, digest)
    let deleted: Promise<void> | undefined
    const open = await held('remove blob', () => {
      deleted = first.content(repository, digest)
    })
    await state.contents.add(repository, content)
    const second = seeds === 1 ? first : begin('through')
    const again = second.content(repository, digest)
    if (seeds === 2) await again
    open()
    await Promise.all([deleted, again])
    await first.close()
    expect((await backend().stat(at('blob', layer))).size).toBe(layer.length)
  })

  test('is not there if it was deleted last, at another seed', async () => {
    const first = begin('through')
    await pushed()
    let brought: Promise<void> | undefined
    const open = await held('put blob', () => {
      brought = first.content(repository, digest)
    })
    await state.contents.remove(repository, digest)
    await begin('through').content(repository, digest)
    open()
    await brought
    await first.close()
    await refuses(backend().stat(at('blob', layer)), 'no-blob')
  })

  test('has the tag that was set last, at another seed', async () => {
    const first = begin('through')
    await pushed()
    let set: Promise<void> | undefined
    const open = await held('tag', () => {
      set = first.tag(repository, tag)
    })
    await state.tags.set(repository, tag, { mediaType: '', size: 0, at: clock.wall() + 1, by: 'ann' })
    await begin('through').tag(repository, tag)
    open()
    await set
    await first.close()
    await refuses(backend().resolve(repository, tag), 'no-manifest')
  })
})

describe('what is written back', () => {
  test('comes to the backend with all that it names, in order', async () => {
    begin('back')
    await pushed()
    await writeBack.tag(repository, tag)
    await until(nothingOwed)
    expect(asked).toEqual(['put blob', 'put manifest', 'tag'])
    const { body } = await backend().open(at('blob', layer), 0)
    expect(digestOf(await collect(body))).toBe(digestOf(layer))
  })

  test('is owed until the backend is there, whatever becomes of the node', async () => {
    begin('back')
    await pushed()
    trouble = 'unavailable'
    await writeBack.content(repository, digestOf(layer))
    await until(async () => ((await writeBack.facts()).some[0]?.tries ?? 0) >= 3)
    const [owed] = (await writeBack.facts()).some
    expect(owed?.what).toBe(`content apps.corp/team/app@${digestOf(layer)}`)
    expect(owed?.error).toBe('the backend is not there')
    await writeBack.close()
    trouble = undefined
    begin('back')
    await until(nothingOwed)
    expect((await backend().stat(at('blob', layer))).size).toBe(layer.length)
  })

  test('to one that is away is told of once in a while, however much it is owed', async () => {
    begin('back')
    trouble = 'unavailable'
    for (let i = 0; i < 40; i++) await writeBack.content(repository, digestOf(Buffer.from(`layer ${i}`)))
    await until(async () => (await writeBack.facts()).some.every(({ tries }) => tries >= 6))
    const told = log.lines.filter((line) => line.includes('did not take what it is owed'))
    expect(told.length).toBeWithin(2, 6)
    expect(told[0]).toContain('the backend is not there')
    expect(told.slice(1).join()).toContain('others')
  })

  test('and cannot be noted as done is told of once in a while', async () => {
    begin('back')
    state.work.done = async () => {
      throw new Failure('unavailable', 'the database is down')
    }
    state.work.retry = state.work.done
    for (let i = 0; i < 40; i++) await writeBack.content(repository, digestOf(Buffer.from(`layer ${i}`)))
    await until(() => asked.length >= 40)
    expect(log.lines.filter((line) => line.includes('could not be noted')).length).toBeWithin(1, 4)
  })

  test('is what the state says by then: a tag that was deleted meanwhile goes', async () => {
    begin('back')
    await pushed()
    await writeBack.tag(repository, tag)
    await until(nothingOwed)
    trouble = 'unavailable'
    clock.advance(1000)
    await setTag()
    await writeBack.tag(repository, tag)
    await until(async () => ((await writeBack.facts()).some[0]?.tries ?? 0) >= 1)
    await state.tags.set(repository, tag, { mediaType: '', size: 0, at: clock.wall() + 1, by: 'ann' })
    await writeBack.tag(repository, tag)
    trouble = undefined
    await until(nothingOwed)
    await refuses(backend().resolve(repository, tag), 'no-manifest')
  })

  test('goes from the backend when it was deleted', async () => {
    begin('back')
    await pushed()
    await writeBack.content(repository, digestOf(layer))
    await until(nothingOwed)
    await state.contents.remove(repository, digestOf(layer))
    await writeBack.content(repository, digestOf(layer))
    await until(nothingOwed)
    await refuses(backend().stat(at('blob', layer)), 'no-blob')
  })

  test.each([true, false])(
    'is not kept here when it was deleted and the backend deletes nothing; was it there: %p',
    async (there) => {
      begin('back')
      await pushed()
      trouble = there ? undefined : 'unavailable'
      await writeBack.content(repository, digestOf(layer))
      await until(async () => (await nothingOwed()) || (await writeBack.facts()).some[0]!.tries > 0)
      trouble = 'unsupported'
      await state.contents.remove(repository, digestOf(layer))
      await writeBack.content(repository, digestOf(layer))
      await until(nothingOwed)
      expect(reasons(digestOf(layer))).toEqual([])
    },
  )

  test('is not pinned for its deletion, and stays pinned here when the backend can never take it', async () => {
    begin('back')
    await pushed()
    trouble = 'unavailable'
    await writeBack.content(repository, digestOf(layer))
    await state.contents.remove(repository, digestOf(manifest))
    await writeBack.content(repository, digestOf(manifest))
    expect(reasons(digestOf(layer))).toEqual(['home', 'owed to the backend of apps.corp/team/app'])
    expect(reasons(digestOf(manifest))).toEqual(['home'])
    trouble = 'bad-name'
    await until(nothingOwed)
    expect(reasons(digestOf(layer))).toEqual(['home'])
  })

  test('is brought from another seed where this one does not have it', async () => {
    const elsewhere = new MemoryStore({ clock })
    await elsewhere.put({ digest: digestOf(layer), kind: 'blob' }, layer)
    begin('back', async ({ digest }) => elsewhere.find(digest)!)
    await pushed()
    await store.remove(digestOf(layer))
    await writeBack.content(repository, digestOf(layer))
    await until(nothingOwed)
    expect((await backend().stat(at('blob', layer))).size).toBe(layer.length)
  })

  describe('by another seed', () => {
    const digest = digestOf(layer)

    /** The first seed owes it, and is away while the second one, with a store of its own, works it off. */
    async function brought(): Promise<MemoryStore> {
      begin('back')
      await pushed()
      trouble = 'unavailable'
      await writeBack.content(repository, digest)
      await writeBack.close()
      trouble = undefined
      const first = store
      store = new MemoryStore({ clock })
      begin('back', async () => first.find(digest)!)
      await until(nothingOwed)
      await writeBack.close()
      store = first
      expect(reasons(digest)).toEqual(['home', 'owed to the backend of apps.corp/team/app'])
      return first
    }

    test('is not pinned any more: at the start', async () => {
      await brought()
      begin('back')
      await until(() => reasons(digest).length === 0)
      expect(asked).toEqual(['put blob'])
    })

    test('is not pinned any more: from time to time', async () => {
      const first = await brought()
      store = new MemoryStore({ clock })
      begin('back')
      await Bun.sleep(1)
      for (const { reason } of first.pins(digest)) store.pin({ digest, reason })
      await until(() => reasons(digest).length === 0)
    })

    test('stays pinned while it is owed, and while the backend cannot be asked', async () => {
      await brought()
      await backend().writes!.remove(at('blob', layer))
      trouble = 'unavailable'
      begin('back')
      for (let i = 0; i < 300; i++) {
        clock.advance(1000)
        await Promise.resolve()
      }
      expect(reasons(digest)).toHaveLength(2)
      await writeBack.content(repository, digest)
      await until(async () => ((await writeBack.facts()).some[0]?.tries ?? 0) >= 3)
      expect(reasons(digest)).toHaveLength(2)
      trouble = undefined
      await until(() => reasons(digest).length === 0)
      expect((await backend().stat(at('blob', layer))).size).toBe(layer.length)
    })
  })

  test('is left alone at once when another node has taken it over', async () => {
    let stopped: AbortSignal | undefined
    begin('back', (_location, _size, signal) => {
      stopped = signal
      return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    })
    await pushed()
    await store.remove(digestOf(layer))
    await writeBack.content(repository, digestOf(layer))
    await until(() => stopped !== undefined)
    // As after a pause of this node that was longer than its lease.
    const taken = await state.work.claim('write-back', clock.wall() + 120_000, 60_000)
    await until(() => stopped!.aborted)
    await writeBack.close()
    expect(await state.work.list('write-back', 10)).toEqual([taken!])
  })

  test('stays pinned for a repository that nothing else keeps', async () => {
    begin('back')
    await pushed()
    const other = repositoryOf('elsewhere.corp', 'app')
    const content = (await state.contents.find(repository, digestOf(layer)))!
    await state.contents.add(other, content)
    await writeBack.content(repository, digestOf(layer))
    await until(nothingOwed)
    expect(reasons(digestOf(layer))).toEqual(['home'])
  })
})
