import { describe, expect, test } from 'bun:test'
import { type Files, Refusal } from '../configure/plan.ts'
import { type Look, placesOf } from './places.ts'

const content = 'io.containerd.content.v1.content/blobs/sha256'
const usual = `/var/lib/containerd/${content}`

/** A host with these files; a folder that holds one is there. */
const hostOf = (files: Record<string, string>): Files => ({
  read: (path) => files[path],
  list: (folder) =>
    Object.keys(files)
      .filter((path) => path.startsWith(`${folder}/`))
      .map((path) => path.slice(folder.length + 1))
      .filter((name) => !name.includes('/')),
})
const only =
  (...folders: string[]): Look =>
  (path) =>
    folders.includes(path) ? 'folder' : 'nothing'

describe('where the content store of containerd is', () => {
  test('is where it usually is, if there is one', () => {
    expect(placesOf('auto', hostOf({}), only(usual))).toEqual([{ path: usual }])
    expect(placesOf('auto', hostOf({}), only())).toEqual([])
  })

  test('is where its settings say', () => {
    const files = hostOf({ '/etc/containerd/config.toml': 'version = 2\nroot = "/data/containerd"\n' })
    const there = `/data/containerd/${content}`
    expect(placesOf('auto', files, only(usual, there))).toEqual([{ path: there }])
  })

  test('is where a file that they import says', () => {
    const files = hostOf({
      '/etc/containerd/config.toml': 'version = 2\nroot = "/a"\nimports = ["/etc/containerd/conf.d/*.toml"]\n',
      '/etc/containerd/conf.d/root.toml': 'root = "/b"\n',
    })
    expect(placesOf('auto', files, only(`/a/${content}`, `/b/${content}`))).toEqual([{ path: `/b/${content}` }])
  })

  test('may be several, as k3s beside Docker', () => {
    const k3s = `/var/lib/rancher/k3s/agent/containerd/${content}`
    expect(placesOf('auto', hostOf({}), only(usual, k3s)).map(({ path }) => path)).toEqual([usual, k3s])
  })

  test('may be shut to this user, and be shown to it elsewhere', () => {
    const shown = '/run/shoal-engine/blobs/sha256'
    const look: Look = (path) => (path === usual ? 'shut' : path === shown ? 'folder' : 'nothing')
    expect(placesOf('auto', hostOf({}), look)).toEqual([{ path: shown }])
    expect(placesOf({ dir: '/var/lib/containerd' }, hostOf({}), look)).toEqual([{ path: shown }])
    const open: Look = (path) => (path === usual || path === shown ? 'folder' : 'nothing')
    expect(placesOf('auto', hostOf({}), open)).toEqual([{ path: usual }])
  })

  test('may be shut to this user, which is told', () => {
    expect(placesOf('auto', hostOf({}), (path) => (path === usual ? 'shut' : 'nothing'))).toEqual([{ path: usual }])
  })

  test.each([
    [1, '[plugins.cri.containerd]'],
    [2, '[plugins."io.containerd.grpc.v1.cri".containerd]'],
    [3, "[plugins.'io.containerd.cri.v1.images']"],
  ])('is not used where layers are thrown away once they are unpacked: version %d', (version, section) => {
    const text = `version = ${version}\n${section}\n  discard_unpacked_layers = true\n`
    const [place] = placesOf('auto', hostOf({ '/etc/containerd/config.toml': text }), only(usual))
    expect(place).toEqual({ path: usual, unused: '/etc/containerd/config.toml has discard_unpacked_layers' })
  })

  test('is looked for where it usually is when its settings cannot be read', () => {
    const shut: Files = {
      read: () => {
        throw new Refusal('not for you')
      },
      list: () => [],
    }
    expect(placesOf('auto', shut, only(usual))).toEqual([{ path: usual }])
    expect(placesOf('auto', hostOf({ '/etc/containerd/config.toml': '[[[' }), only(usual))).toEqual([{ path: usual }])
  })

  test('may be named: its root, its content store, the folder of blobs', () => {
    const named = (dir: string) => placesOf({ dir }, hostOf({}), only(usual))
    const blobs = usual.replace('/sha256', '')
    for (const dir of ['/var/lib/containerd', blobs.replace('/blobs', ''), blobs, usual]) {
      expect(named(dir)).toEqual([{ path: usual }])
    }
  })

  test('that is named may have nothing in it yet', () => {
    const there = `/data/${content}`
    const store = '/data/io.containerd.content.v1.content'
    for (const dir of ['/data', store, `${store}/blobs`, there]) {
      expect(placesOf({ dir }, hostOf({}), only())).toEqual([{ path: there }])
    }
  })

  test('is not looked for when it is off', () => {
    expect(placesOf('off', hostOf({}), only(usual))).toEqual([])
  })
})
