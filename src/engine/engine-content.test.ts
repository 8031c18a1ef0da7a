import { afterEach, describe, expect, spyOn, test } from 'bun:test'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { bytesOf } from '../../test/fakes/bytes.ts'
import { diskStores, notingLog } from '../../test/fakes/disk-stores.ts'
import { until } from '../../test/lab/until.ts'
import { type Clock, systemClock } from '../clock.ts'
import { Failure } from '../failure.ts'
import { type Digest, digestOf } from '../oci/digest.ts'
import { repositoryOf } from '../oci/reference.ts'
import type { DiskStore } from '../store/disk-store.ts'
import { EngineContent, type EngineContentOptions } from './engine-content.ts'

const { openStore, newDir } = diskStores()
const cleanups: (() => void)[] = []
afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup()
})

/** An hour ahead: what is in the engine's folder has been there for long. */
const clock: Clock = { ...systemClock, wall: () => Date.now() + 3600_000 }
const bytes = bytesOf(600_000)
const digest = digestOf(bytes)
const repository = repositoryOf('ghcr.io', 'team/app')

/** The folder of an engine, which writes beside it and moves what is whole. */
class Engine {
  readonly dir = mkdtempSync(join(tmpdir(), 'shoal-engine-'))
  readonly blobs = join(this.dir, 'blobs')

  constructor() {
    mkdirSync(this.blobs)
    mkdirSync(join(this.dir, 'ingest'))
    cleanups.push(() => rmSync(this.dir, { recursive: true, force: true }))
  }

  pathOf(digest: Digest): string {
    return join(this.blobs, digest.slice(7))
  }

  commit(content: Uint8Array, name = digestOf(content)): string {
    const ingest = join(this.dir, 'ingest', 'data')
    writeFileSync(ingest, content)
    chmodSync(ingest, 0o444)
    renameSync(ingest, this.pathOf(name))
    return this.pathOf(name)
  }

  remove(digest: Digest): void {
    rmSync(this.pathOf(digest))
  }
}

function watching(store: DiskStore, engine: Engine, more: Partial<EngineContentOptions> = {}) {
  const { log, lines } = notingLog()
  const came: Digest[] = []
  const asked: Digest[] = []
  const content = new EngineContent({
    store,
    folders: () => [engine.blobs],
    signer: { id: 'me', sign: () => new Uint8Array(64) },
    busy: () => false,
    prove: async (digest) => {
      asked.push(digest)
      return true
    },
    came: (blob) => void came.push(blob.digest),
    clock,
    log,
    ...more,
  })
  cleanups.push(() => content.close())
  content.start()
  return { content, lines, came, asked }
}

async function holding(content: Uint8Array = bytes) {
  const store = await openStore(newDir(), { clock })
  const blob = await store.put({ digest: digestOf(content), kind: 'blob' }, content)
  await store.find(blob.digest)!.sync()
  return { store, blob }
}

const soon = (what: string, holds: () => boolean) => until(what, 10, holds, 10)

describe('what the engine holds', () => {
  test('takes the place of what the node has, if it was there before', async () => {
    const engine = new Engine()
    const path = engine.commit(bytes)
    const { store, blob } = await holding()
    const own = blob.path
    const { came } = watching(store, engine)
    await soon('the blob is read there', () => blob.borrowed)
    expect(blob.path).toBe(path)
    expect(existsSync(own)).toBe(false)
    // Others knew already that it is here.
    expect(came).toEqual([])
    expect(blob.metainfo.known.complete).toBe(true)
  })

  test('takes the place of what the node has when it comes', async () => {
    const engine = new Engine()
    const { store, blob } = await holding()
    const { content } = watching(store, engine)
    await soon('the folder is looked into', () => content.folders.length > 0)
    engine.commit(bytes)
    await soon('the blob is read there', () => blob.borrowed)
  })

  test('is not here any more as soon as the engine has removed it', async () => {
    const engine = new Engine()
    engine.commit(bytes)
    const { store, blob } = await holding()
    watching(store, engine)
    await soon('the blob is read there', () => blob.borrowed)
    engine.remove(digest)
    await soon('the blob is gone', () => blob.gone)
    expect(store.find(digest)).toBeUndefined()
  })

  test('is not here any more when all of its folder has gone', async () => {
    const engine = new Engine()
    engine.commit(bytes)
    const { store, blob } = await holding()
    watching(store, engine)
    await soon('the blob is read there', () => blob.borrowed)
    rmSync(engine.blobs, { recursive: true })
    await soon('the blob is gone', () => blob.gone)
  })

  test('is used again when the engine has it again', async () => {
    const engine = new Engine()
    engine.commit(bytes)
    const { store, blob } = await holding()
    store.seenIn(digest, repository)
    watching(store, engine)
    await soon('the blob is read there', () => blob.borrowed)
    engine.remove(digest)
    await soon('the blob is gone', () => blob.gone)
    engine.commit(bytes)
    await soon('the blob is here again', () => store.find(digest)?.borrowed === true)
  })

  test('with a wrong byte is not used, and told of once', async () => {
    const engine = new Engine()
    const wrong = bytes.slice()
    wrong[500_000]! ^= 1
    engine.commit(wrong, digest)
    const { store, blob } = await holding()
    const { lines } = watching(store, engine)
    await soon('it is told', () => lines.some((line) => line.includes('is not what its name says')))
    const other = bytesOf(100_000, 5)
    engine.commit(other)
    const second = await store.put({ digest: digestOf(other), kind: 'blob' }, other)
    await store.find(second.digest)!.sync()
    engine.commit(bytesOf(100_000, 6))
    await soon('another one is read there', () => second.borrowed)
    expect(blob.borrowed).toBe(false)
    expect(await blob.read({ start: 0, end: bytes.length })).toEqual(bytes)
    expect(lines.filter((line) => line.includes('is not what its name says'))).toHaveLength(1)
  })

  test('is used of what the node has not, once a registry has shown it', async () => {
    const engine = new Engine()
    engine.commit(bytes)
    const store = await openStore(newDir(), { clock })
    store.seenIn(digest, repository)
    const { came, asked } = watching(store, engine)
    await soon('the blob is here', () => store.find(digest) !== undefined)
    expect(store.find(digest)).toMatchObject({ borrowed: true, complete: true })
    expect(store.find(digest)!.metainfo.known.complete).toBe(true)
    expect([came, asked]).toEqual([[digest], [digest]])
  })

  test('is used as soon as it is heard that a repository has it', async () => {
    const engine = new Engine()
    engine.commit(bytes)
    const store = await openStore(newDir(), { clock })
    const looked = spyOn(store, 'repositoriesOf')
    const { content } = watching(store, engine)
    await soon('it was looked at', () => looked.mock.calls.length > 0)
    store.seenIn(digest, repository)
    content.heard(digest)
    await soon('the blob is here', () => store.find(digest)?.borrowed === true)
  })

  test('is not used where no registry shows it, or nobody knows of one', async () => {
    const engine = new Engine()
    const other = bytesOf(200_000, 4)
    engine.commit(bytes)
    engine.commit(other)
    const store = await openStore(newDir(), { clock })
    store.seenIn(digest, repository)
    const asked: Digest[] = []
    watching(store, engine, {
      prove: async (digest) => {
        asked.push(digest)
        return false
      },
    })
    await soon('it is asked', () => asked.length > 0)
    engine.commit(bytesOf(200_000, 8))
    await Bun.sleep(300)
    expect([...store.all()]).toEqual([])
    expect(asked).toEqual([digest])
  })

  test('waits while something is on its way to the node', async () => {
    const engine = new Engine()
    engine.commit(bytes)
    const { store, blob } = await holding()
    let busy = true
    let looks = 0
    watching(store, engine, {
      busy: () => {
        looks++
        return busy
      },
    })
    await soon('it is looked whether there is time', () => looks > 0)
    expect(blob.borrowed).toBe(false)
    busy = false
    await soon('the blob is read there', () => blob.borrowed)
  })

  test('is copied when somebody asks that it stays, and stays when the engine removes it', async () => {
    const engine = new Engine()
    engine.commit(bytes)
    const { store, blob } = await holding()
    watching(store, engine)
    await soon('the blob is read there', () => blob.borrowed)
    store.pin({ digest, reason: 'a test' })
    await soon('the blob is here again', () => !blob.borrowed)
    engine.remove(digest)
    await soon('the folder was looked into', () => !existsSync(engine.pathOf(digest)))
    expect(blob.gone).toBe(false)
    expect(await blob.read({ start: 0, end: bytes.length })).toEqual(bytes)
  })

  test('is not copied again and again where there is no room for it', async () => {
    const engine = new Engine()
    engine.commit(bytes)
    const { store, blob } = await holding()
    const tries = spyOn(store, 'takeBack').mockRejectedValue(new Failure('no-space', 'no room'))
    const { lines } = watching(store, engine, { everyMs: 100 })
    await soon('the blob is read there', () => blob.borrowed)
    store.pin({ digest, reason: 'a test' })
    const told = () => lines.filter((line) => line.startsWith('a pinned blob')).length
    await soon('it was tried', () => told() > 0)
    await Bun.sleep(500)
    expect(told()).toBe(1)
    // One was that of the store itself.
    expect(tries).toHaveBeenCalledTimes(2)
  })

  test('takes the place of what somebody reads as soon as nobody does, and is read but once for that', async () => {
    const engine = new Engine()
    engine.commit(bytes)
    const { store, blob } = await holding()
    const letGo = blob.hold()
    let reads = 0
    watching(store, engine, {
      busy: () => {
        reads++
        return false
      },
    })
    await soon('its file was read', () => reads > 0)
    await Bun.sleep(300)
    expect(blob.borrowed).toBe(false)
    letGo()
    await soon('the blob is read there', () => blob.borrowed)
    expect(reads).toBe(1)
  })

  test('is looked at alone when it comes, however much there is besides', async () => {
    const engine = new Engine()
    const { store, blob } = await holding()
    for (let seed = 10; seed < 60; seed++) engine.commit(bytesOf(70_000, seed))
    const asked = spyOn(store, 'repositoriesOf')
    const { content } = watching(store, engine)
    await soon('all was looked at', () => asked.mock.calls.length >= 50 && content.folders.length > 0)
    asked.mockClear()
    engine.commit(bytes)
    await soon('the blob is read there', () => blob.borrowed)
    expect(asked).not.toHaveBeenCalled()
  })

  test('is left alone after somebody had it removed from the node', async () => {
    const engine = new Engine()
    engine.commit(bytes)
    const { store, blob } = await holding()
    store.seenIn(digest, repository)
    const { asked } = watching(store, engine)
    await soon('the blob is read there', () => blob.borrowed)
    await store.remove(digest)
    const other = bytesOf(100_000, 5)
    store.seenIn(digestOf(other), repository)
    engine.commit(other)
    await soon('the folder was looked into again', () => store.find(digestOf(other)) !== undefined)
    expect(store.find(digest)).toBeUndefined()
    expect(asked).toEqual([digestOf(other)])
    expect(existsSync(engine.pathOf(digest))).toBe(true)
  })

  test('is given back when it is not to be used any more', async () => {
    const engine = new Engine()
    engine.commit(bytes)
    const { store, blob } = await holding()
    const first = watching(store, engine)
    await soon('the blob is read there', () => blob.borrowed)
    first.content.close()
    watching(store, engine, { folders: () => [] })
    await soon('the blob is gone', () => blob.gone)
    expect(existsSync(engine.pathOf(digest))).toBe(true)
  })

  test('that cannot be looked at is said once, with why', async () => {
    const engine = new Engine()
    rmSync(engine.blobs, { recursive: true })
    const { store } = await holding()
    const { content, lines } = watching(store, engine)
    await soon('it is told', () => lines.length > 0)
    expect(lines).toHaveLength(1)
    expect(content.folders).toEqual([{ path: engine.blobs, trouble: expect.stringContaining('ENOENT') }])
  })
})
