import { expect, test } from 'bun:test'
import { digestOf } from '../../oci/digest.ts'
import { placesOf } from './places.ts'
import { standing, working } from './stale.ts'
import { emptyState, type LayerState, type MountState } from './state.ts'

const places = placesOf('/run/m/m.sock', '/var/lib/m')
const digest = digestOf(new Uint8Array())
const layer = (id: string, served: LayerState['served'], ...holders: string[]): LayerState => ({
  id,
  inode: 2,
  served,
  size: 1,
  holders,
  spec: {
    node: { registry: 'http://127.0.0.1:4880' },
    repository: { registry: 'docker.io', name: 'a/b' },
    digest,
    mediaType: 'x',
    compressedSize: 1,
    diffId: digest,
    prefetch: true,
  },
})
const mount = (dir: string, ...layers: string[]): MountState => ({
  dir,
  image: 'docker.io/a/b:latest',
  manifest: digest,
  platform: 'linux/amd64',
  ...{ rw: false, suid: false, dev: false },
  prefetch: true,
  since: '2026-01-01T00:00:00.000Z',
  layers,
  process: { env: [], entrypoint: [], cmd: [], workingDir: '/', user: '' },
})
const mounted = (...targets: string[]) =>
  targets.map((target) => ({ id: target, target, type: 'overlay', source: 'shoal', options: '' }))

test('what a killed mounter served from complete files goes on, and nothing else', () => {
  const state = {
    ...emptyState,
    layers: [
      layer('a', 'file', 'mount:/one', 'mount:/two'),
      layer('b', 'fuse', 'mount:/two', 'snapshot:x'),
      { ...layer('out-of-sight', 'file'), opened: 1 },
    ],
    mounts: [mount('/one', 'a'), mount('/two', 'a', 'b'), mount('/three', 'a')],
  }
  const table = mounted('/run/m/m.d/layers/a', '/run/m/m.d/layers/b', '/one', '/two')
  const left = working(state, table, places)
  expect(left.mounts.map(({ dir }) => dir)).toEqual(['/one'])
  expect(left.layers.map(({ id, holders }) => [id, holders])).toEqual([['a', ['mount:/one']]])
})

test('of a program that became another goes on what is mounted, with what it is held for', () => {
  const state = {
    ...emptyState,
    layers: [
      layer('a', 'fuse', 'mount:/one', 'mount:/two', 'mount:/begun'),
      layer('b', 'file', 'mount:/two', 'snapshot:x'),
      layer('begun', 'fuse', 'mount:/begun'),
      layer('ended', 'fuse', 'snapshot:y'),
      layer('in-use', 'fuse'),
      { ...layer('elsewhere', 'fuse', 'mount:/gone', 'snapshot:z'), opened: 1 },
    ],
    mounts: [mount('/one', 'a'), mount('/two', 'a', 'b')],
  }
  const table = mounted(...['a', 'b', 'begun', 'in-use'].map((id) => `/run/m/m.d/layers/${id}`), '/one')
  const left = standing(state, table, places)
  expect(left.mounts.map(({ dir }) => dir)).toEqual(['/one'])
  expect(left.layers.map(({ id, holders }) => [id, holders])).toEqual([
    ['a', ['mount:/one']],
    ['b', ['snapshot:x']],
    ['in-use', []],
    ['elsewhere', []],
  ])
  expect(left.layers.filter(({ unplaced }) => unplaced).map(({ id }) => id)).toEqual(['elsewhere'])
})

test('what somebody else has mounted in the place of a root file system is not taken over', () => {
  const state = { ...emptyState, layers: [layer('a', 'file', 'mount:/one')], mounts: [mount('/one', 'a')] }
  const table = [
    ...mounted('/run/m/m.d/layers/a'),
    { id: '9', target: '/one', type: 'overlay', source: 'overlay', options: 'rw' },
  ]
  expect(working(state, table, places)).toMatchObject({ mounts: [], layers: [] })
})

test('a layer that others hold stays, and one that nobody holds does not', () => {
  const state = { ...emptyState, layers: [layer('a', 'file', 'snapshot:x'), layer('b', 'file', 'mount:/gone')] }
  const left = working(state, mounted('/run/m/m.d/layers/a', '/run/m/m.d/layers/b'), places)
  expect(left.layers.map(({ id }) => id)).toEqual(['a'])
})
