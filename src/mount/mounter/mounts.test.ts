import { afterEach, beforeEach, expect, test } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FakeClock } from '../../../test/fakes/clock.ts'
import { FakeRegistry } from '../../../test/fakes/registry.ts'
import { notRoot } from '../../../test/fakes/root.ts'
import { listenAsNobody } from '../../../test/fakes/stranger.ts'
import { digestOf } from '../../oci/digest.ts'
import { manifestTypes } from '../../oci/media.ts'
import { silentLog } from '../../telemetry/log.ts'
import { mountFlags, type Outcome } from '../kernel/calls.ts'
import { Kernel } from '../kernel/kernel.ts'
import type { MountEntry } from '../kernel/table.ts'
import type { LayerFacts } from './api.ts'
import type { Layers } from './layers.ts'
import { Mounts, type WantedMount } from './mounts.ts'
import { placesOf } from './places.ts'

let dir: string
let registry: FakeRegistry
let mounts: Mounts
/** Directories that the file of the state speaks of. */
let written: string[]
let full: boolean
/** What the kernel answers who mounts, and what was written down when it was asked. */
let answer: Outcome
let writtenBefore: string[] | undefined
/** How the last root file system was mounted. */
let flags: number | undefined
let held: string[]
/** What is mounted, as the kernel tells it. */
let table: MountEntry[]
let unmounted: string[]

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'shoal-mounts-'))
  registry = await FakeRegistry.start()
  written = []
  full = false
  answer = { errno: 0, said: [] }
  writtenBefore = undefined
  held = []
  table = []
  unmounted = []
  const kernel = new Kernel(async ([call]) => {
    if (call?.do === 'look') {
      return [
        { errno: 0, said: [], seen: { kind: 'directory', real: call.path, empty: true, mode: 0o755, uid: 0, gid: 0 } },
      ]
    }
    if (call?.do === 'unmount') {
      unmounted.push(call.target)
      if (answer.errno === 0) table = table.filter(({ target }) => target !== call.target)
    }
    if (call?.do === 'mount') [writtenBefore, flags] = [written, call.flags]
    return [answer]
  })
  const layers = {
    facts: () => [],
    hold: async (_: unknown, holder: string) => {
      held.push(holder)
      return { id: 'layer', path: join(dir, 'layer') } as LayerFacts
    },
    release: async (_: string, holder: string) => void held.splice(held.indexOf(holder), 1),
  }
  const save = async () => {
    if (full) throw new Error('the disk is full')
    written = mounts.state().map((mount) => mount.dir)
  }
  mounts = new Mounts({
    places: placesOf(join(dir, 'm.sock'), dir),
    layers: layers as unknown as Layers,
    kernel,
    table: () => table,
    clock: new FakeClock(),
    log: silentLog,
    save,
    note: () => {
      if (!full) void save()
    },
  })
})
afterEach(() => {
  registry.stop()
  rmSync(dir, { recursive: true, force: true })
})

function mount(at: string, origin = registry.url.origin, more: Partial<WantedMount> = {}) {
  const name = 'lab/app'
  const json = (value: object) => new TextEncoder().encode(JSON.stringify(value))
  const bytes = new Uint8Array([1])
  const config = json({ os: 'linux', architecture: 'amd64', rootfs: { diff_ids: [digestOf(bytes)] } })
  const manifest = {
    schemaVersion: 2,
    mediaType: manifestTypes.ociManifest,
    config: {
      mediaType: 'application/vnd.oci.image.config.v1+json',
      digest: registry.blob(name, config),
      size: config.length,
    },
    layers: [
      { mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: registry.blob(name, bytes), size: bytes.length },
    ],
  }
  registry.manifest(name, 'v1', json(manifest), manifestTypes.ociManifest)
  const image = `${registry.host}/${name}:v1`
  const node = { registry: origin }
  const usual = { rw: false, suid: false, dev: false, prefetch: false, platform: 'linux/amd64' }
  return mounts.add({ node, image, dir: at, ...usual, ...more })
}

test('a root file system is written down before it is there: after a kill in between the next mounter knows it', async () => {
  await mount('/srv/one')
  expect(writtenBefore).toEqual(['/srv/one'])
  expect([written, mounts.count]).toEqual([['/srv/one'], 1])
})

test('what an image says of rights and devices counts where that was asked for, and it is known of each what was', async () => {
  const { readOnly, noSetuid, noDevices } = mountFlags
  const facts = async (more: Partial<WantedMount>) => {
    const { suid, dev } = await mount(`/srv/${Object.keys(more).join('-')}`, undefined, more)
    return [suid, dev, flags]
  }
  expect(await facts({})).toEqual([false, false, readOnly | noSetuid | noDevices])
  expect(await facts({ rw: true })).toEqual([false, false, noSetuid | noDevices])
  expect(await facts({ suid: true })).toEqual([true, false, readOnly | noDevices])
  expect(await facts({ dev: true })).toEqual([false, true, readOnly | noSetuid])
  expect(mounts.state().map(({ suid, dev }) => [suid, dev])).toEqual([
    [false, false],
    [false, false],
    [true, false],
    [false, true],
  ])
})

test('one that the kernel does not mount is written down no more, and holds nothing', async () => {
  answer = { errno: 22, said: ['no'], step: 'make overlay' }
  await expect(mount('/srv/one')).rejects.toThrow('the kernel did not mount overlay at /srv/one: no')
  expect([written, mounts.count, held]).toEqual([[], 0, []])
})

test.skipIf(notRoot)('which image it is of is not asked of a user who has the port of the node', async () => {
  const stranger = listenAsNobody()
  try {
    const mounting = mount('/srv/one', `http://127.0.0.1:${stranger.port}`)
    await expect(mounting).rejects.toThrow('is run by the user nobody')
    expect([stranger.connections(), writtenBefore, mounts.count]).toEqual([0, undefined, 0])
  } finally {
    stranger.close()
  }
})

test('one that cannot be written down is not mounted', async () => {
  full = true
  await expect(mount('/srv/one')).rejects.toThrow('the disk is full')
  expect([writtenBefore, mounts.count, held]).toEqual([undefined, 0, []])
})

const ours: MountEntry = { id: '40', target: '/srv/one', type: 'overlay', source: 'shoal', options: '' }

test('one over which somebody else has mounted something stays, and so does that', async () => {
  await mount('/srv/one')
  table = [ours, { ...ours, id: '41', type: 'tmpfs', source: 'scratch' }]
  await expect(mounts.remove('/srv/one')).rejects.toThrow(
    'did not mount, a tmpfs of scratch; umount /srv/one takes that away, and shoal umount /srv/one then the image',
  )
  expect([unmounted, mounts.count, held]).toEqual([[], 1, ['mount:/srv/one']])
  table.pop()
  await mounts.remove('/srv/one')
  expect([unmounted, mounts.count, held]).toEqual([['/srv/one'], 0, []])
})

test('one that cannot be reached, for something is mounted over a folder above it, is not called unmounted', async () => {
  await mount('/srv/one')
  table = [ours]
  // The kernel finds no mount where that name leads now.
  answer = { errno: 22, said: [] }
  await expect(mounts.remove('/srv/one')).rejects.toThrow('is mounted over a folder above it; unmount that first')
  expect([mounts.count, held]).toEqual([1, ['mount:/srv/one']])
})

test('one that somebody else has unmounted is let go', async () => {
  await mount('/srv/one')
  table = [{ ...ours, target: '/srv/other' }]
  await mounts.remove('/srv/one')
  expect([unmounted, mounts.count, held]).toEqual([[], 0, []])
})
