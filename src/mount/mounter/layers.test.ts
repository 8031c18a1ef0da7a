import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { mkdtempSync, readdirSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { settle } from '../../../test/fakes/clock.ts'
import { errnos } from '../../fuse/libc.ts'
import type { FuseFile, FuseServer } from '../../fuse/server.ts'
import { digestOf, hexOf } from '../../oci/digest.ts'
import { silentLog } from '../../telemetry/log.ts'
import type { Call } from '../kernel/calls.ts'
import { Kernel } from '../kernel/kernel.ts'
import type { LayerSpec, UnpackedLayer } from '../unpacked-layer.ts'
import { Layers } from './layers.ts'
import { placesOf } from './places.ts'

let dir: string
let layers: Layers
let served: Map<string, FuseFile>
/** How often the kernel has the layer's file open. */
let opened: number
let mostWaits: number
/** How the kernel names the next file system; those of the layer's own file that are in use; whether all of it is here. */
let superblock: string
let there: string[]
let whole: boolean
let closed: number
let discarded: number
let prefetched: number
let starts: boolean[]
let full: boolean
let saved: number
let hangs: Promise<void> | undefined
let fails: string | undefined
let mounted: string[]
let busy: boolean
/** Somebody has the file system where umount(2) does not look: in another namespace, or below an overlay. */
let hidden: boolean
let asked: Call | undefined

const spec: LayerSpec = {
  node: { registry: 'http://127.0.0.1:4880' },
  repository: { registry: 'docker.io', name: 'library/debian' } as LayerSpec['repository'],
  digest: digestOf(new Uint8Array([1])),
  mediaType: 'x',
  compressedSize: 1,
  diffId: digestOf(new Uint8Array([2])),
  prefetch: false,
}
const id = hexOf(spec.digest)

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'shoal-layers-'))
  writeFileSync(join(dir, 'data'), 'data')
  served = new Map()
  opened = 0
  mostWaits = 0
  superblock = 'erofs-7'
  there = []
  whole = false
  closed = 0
  discarded = 0
  prefetched = 0
  starts = []
  full = false
  saved = 0
  hangs = undefined
  fails = undefined
  mounted = []
  busy = false
  hidden = false
  const kernel = new Kernel(async ([call]) => {
    if (fails !== undefined) throw new Error(fails)
    if (call?.do === 'unmount' && busy) return [{ errno: errnos.EBUSY, said: [] }]
    if (call?.do === 'unmount') mounted = mounted.filter((target) => target !== call.target)
    else if (call?.do === 'mount') {
      mounted.push(call.target)
      opened++
    }
    if (call?.do === 'unmount' && !hidden) opened = 0
    asked = call
    return [{ errno: 0, said: [], readAhead: superblock, ...(call?.do === 'folders' ? { made: true } : {}) }]
  })
  const server = {
    add: (file: FuseFile, before = opened) => {
      served.set(file.name, file)
      opened = before
    },
    opened: () => opened,
    closed: async (_: string, withinMs: number) => {
      mostWaits = Math.max(mostWaits, withinMs)
      return opened === 0
    },
    remove: async (name: string) => void served.delete(name),
  }
  const save = async () => {
    if (full) throw new Error('the disk is full')
    saved++
  }
  layers = new Layers({
    places: placesOf(join(dir, 'm.sock'), dir),
    open: async (_, start) => {
      starts.push(start)
      await hangs
      return unpacked()
    },
    kernel,
    server: server as unknown as FuseServer,
    isThere: (name) => there.includes(name),
    log: silentLog,
    nextInode: () => 2,
    save,
    note: () => {},
  })
})
afterEach(() => rmSync(dir, { recursive: true, force: true }))

function unpacked(): UnpackedLayer {
  return {
    ...{ id, size: 4, metadataPath: join(dir, 'meta'), path: join(dir, 'data') },
    readyMap: { block: 4096, bits: new SharedArrayBuffer(1), ctime: new SharedArrayBuffer(8) },
    read: async () => new Uint8Array(4),
    whole: () => whole,
    ready: () => false,
    progress: () => ({
      ...{ size: 4, here: 0, fetched: 0, deduped: 0, disk: 0, complete: false, indexed: true },
      errors: [],
    }),
    prefetch: () => void prefetched++,
    close: async () => void closed++,
    discard: async () => void discarded++,
  }
}
/** Descriptors of the layer's file. */
const openHere = () => readdirSync('/proc/self/fd').filter((fd) => linkOf(fd) === join(dir, 'data')).length

function linkOf(fd: string): string | undefined {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`)
  } catch {
    // That of the listing itself.
    return undefined
  }
}

describe('a layer', () => {
  test('whose holder cannot be written down is not held, and another of its holders keeps it', async () => {
    full = true
    await expect(layers.hold(spec, 'a')).rejects.toThrow('the disk is full')
    expect([layers.count, mounted, closed]).toEqual([0, [], 1])
    full = false
    await layers.hold(spec, 'a')
    full = true
    await expect(layers.hold(spec, 'b')).rejects.toThrow('the disk is full')
    await expect(layers.hold({ ...spec, prefetch: true }, 'a')).rejects.toThrow('the disk is full')
    expect(layers.fact(id).holders).toEqual(['a'])
    expect(mounted).toHaveLength(1)
  })

  test('of which somebody wants all is brought whole, whoever mounted it first, and after an upgrade too', async () => {
    await layers.hold(spec, 'a')
    await settle()
    expect([prefetched, layers.state()[0]!.spec.prefetch]).toEqual([0, false])
    const wanted = { ...spec, prefetch: true }
    full = true
    await expect(layers.hold(wanted, 'b')).rejects.toThrow('the disk is full')
    await settle()
    expect([prefetched, layers.state()[0]!.spec.prefetch]).toEqual([0, false])
    full = false
    await layers.hold(wanted, 'b')
    await layers.hold(spec, 'c')
    await settle()
    expect([prefetched, layers.state()[0]!.spec.prefetch]).toEqual([1, true])
  })

  test('that is not open again yet is brought whole once it is, where somebody wants all of it', async () => {
    const opening = Promise.withResolvers<void>()
    hangs = opening.promise
    const state = { inode: 2, served: 'fuse' as const, size: 4, holders: ['a'], readAhead: undefined }
    layers.adopt([{ id, ...state, spec: spec as never }])
    await layers.hold({ ...spec, prefetch: true }, 'b')
    expect(prefetched).toBe(0)
    opening.resolve()
    await settle()
    expect(prefetched).toBe(1)
  })

  test('that is served on after an upgrade is not one that a start reads', async () => {
    await layers.hold(spec, 'a')
    layers.adopt(layers.state())
    expect(starts).toEqual([true, false])
  })

  test('that cannot be unmounted is held until it can be', async () => {
    await layers.hold(spec, 'a')
    fails = 'no answer about mounts within 60 s'
    await expect(layers.release(id, 'a')).rejects.toThrow('no answer')
    expect(layers.fact(id).holders).toEqual(['a'])
    fails = undefined
    await layers.release(id, 'a')
    expect([layers.count, mounted, served.size, closed]).toEqual([0, [], 0, 1])
  })

  test('that somebody uses whom nobody knows is served on, after an upgrade too, until that ends', async () => {
    await layers.hold(spec, 'a')
    busy = true
    await layers.release(id, 'a', true)
    await layers.sweep()
    expect([layers.state().map(({ holders }) => holders), mounted.length, served.size]).toEqual([[[]], 1, 1])
    busy = false
    await layers.sweep()
    expect([layers.count, mounted, served.size, closed, discarded, openHere()]).toEqual([0, [], 0, 0, 1, 0])
  })

  test('is written down again where something of it changed, and not for who holds it already', async () => {
    const { path } = await layers.hold(spec, 'a')
    for (let i = 0; i < 3; i++) expect((await layers.hold(spec, 'a')).path).toBe(path)
    expect(saved).toBe(1)
    await layers.hold(spec, 'b')
    expect(saved).toBe(2)
    await layers.hold({ ...spec, prefetch: true }, 'a')
    expect(saved).toBe(3)
    hidden = true
    for (const holder of ['a', 'b']) await layers.release(id, holder)
    await layers.hold(spec, 'a')
    expect([saved, layers.state()[0]?.unplaced]).toEqual([4, undefined])
  })

  test('that was in use when its last holder let go is held again as it is', async () => {
    await layers.hold(spec, 'a')
    busy = true
    await layers.release(id, 'a')
    expect((await layers.hold(spec, 'b')).holders).toEqual(['b'])
    busy = false
    await layers.sweep()
    expect([layers.count, mounted.length]).toEqual([1, 1])
  })

  test('whose file system outlives its mount is served until that ends, through an upgrade too', async () => {
    await layers.hold(spec, 'a')
    hidden = true
    await layers.release(id, 'a', true)
    await layers.sweep()
    expect([mounted, served.size, closed, discarded, layers.fact(id).holders]).toEqual([[], 1, 0, 0, []])
    const [state] = layers.state()
    expect(state).toMatchObject({ unplaced: true, opened: 1, holders: [] })
    opened = 0
    layers.adopt([state!])
    expect([opened, served.size]).toEqual([1, 1])
    await settle()
    // Nobody says when it ends, and nobody waits for it.
    mostWaits = 0
    await layers.sweep()
    opened = 0
    await layers.sweep()
    expect([layers.count, served.size, mostWaits]).toEqual([0, 0, 0])
  })

  test('whose file system outlives its mount is mounted again from the same file', async () => {
    await layers.hold(spec, 'a')
    hidden = true
    await layers.release(id, 'a')
    const { path, holders } = await layers.hold(spec, 'b')
    expect([mounted, opened, holders, layers.count, layers.state()[0]?.unplaced]).toEqual([
      [path],
      2,
      ['b'],
      1,
      undefined,
    ])
    hidden = false
    await layers.release(id, 'b')
    expect([mounted, layers.count, served.size, closed]).toEqual([[], 0, 0, 1])
  })

  test('that the kernel reads from its own file stays too while anybody has that file system', async () => {
    whole = true
    await layers.hold(spec, 'a')
    there = ['erofs-7']
    await layers.release(id, 'a')
    await layers.sweep()
    expect([mounted, layers.count, closed, served.size]).toEqual([[], 1, 0, 0])
    const [state] = layers.state()
    expect(state).toMatchObject({ unplaced: true, opened: 1, superblock: 'erofs-7' })
    layers.adopt([state!])
    await settle()
    await layers.sweep()
    expect(layers.count).toBe(1)
    there = []
    await layers.sweep()
    expect([layers.count, closed]).toEqual([0, 1])
  })

  test('that the kernel reads from its own file is looked at before it is mounted once more', async () => {
    whole = true
    await layers.hold(spec, 'a')
    there = ['erofs-7']
    await layers.release(id, 'a')
    whole = false
    await layers.hold(spec, 'b')
    expect([mounted.length, layers.count, closed, served.size]).toEqual([1, 2, 0, 1])
  })

  test('that the kernel reads from its own file stays too when it is mounted and let go once more', async () => {
    whole = true
    await layers.hold(spec, 'a')
    there = ['erofs-7']
    await layers.release(id, 'a')
    superblock = 'erofs-8'
    const again = await layers.hold(spec, 'b')
    await layers.release(again.id, 'b')
    await layers.sweep()
    expect(layers.state()).toMatchObject([{ superblock: 'erofs-7', unplaced: true, opened: 1 }])
    expect([mounted, closed]).toEqual([[], 1])
    there = []
    await layers.sweep()
    expect([layers.count, closed]).toEqual([0, 2])
  })

  test('that does not describe its folders says so, and has them made, by the next mounter too', async () => {
    const into = { below: ['/below'], into: '/into' }
    await layers.hold(spec, 'a')
    expect([layers.fact(id).implied, await layers.makeFolders(id, into)]).toEqual([undefined, false])
    const tree = join(dir, 'meta')
    layers.adopt([{ ...layers.state()[0]!, tree }])
    expect(layers.fact(id).implied).toBe(true)
    expect(await layers.makeFolders(id, into)).toBe(true)
    expect(asked).toEqual({ do: 'folders', tree, layer: layers.fact(id).path, ...into })
    expect(layers.state()[0]).toMatchObject({ id, tree })
  })

  test('that is let go while it is opened again is served by nobody afterwards', async () => {
    const opening = Promise.withResolvers<void>()
    hangs = opening.promise
    const state = { inode: 2, served: 'fuse' as const, size: 4, holders: ['a'], readAhead: undefined }
    layers.adopt([{ id, ...state, spec: spec as never }])
    expect(served.has(id)).toBe(true)
    await layers.release(id, 'a')
    expect(served.size).toBe(0)
    opening.resolve()
    await settle()
    expect([served.size, closed, openHere()]).toEqual([0, 1, 0])
  })

  test('whose file is gone when it is opened again is read through the layer', async () => {
    rmSync(join(dir, 'data'))
    const state = { inode: 2, served: 'fuse' as const, size: 4, holders: ['a'], readAhead: undefined }
    layers.adopt([{ id, ...state, spec: spec as never }])
    await settle()
    const file = served.get(id)!
    expect(await file.read(0, 4, new AbortController().signal)).toEqual(new Uint8Array(4))
    await layers.release(id, 'a')
    expect([layers.count, served.size]).toEqual([0, 0])
  })
})
