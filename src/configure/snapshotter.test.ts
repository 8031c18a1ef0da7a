import { describe, expect, test } from 'bun:test'
import type { Files } from './plan.ts'
import { planSnapshotter, planSnapshotterUndo, withoutSnapshotter } from './snapshotter.ts'

const file = '/etc/containerd/config.toml'
const filesOf = (text: string | undefined): Files => ({
  read: (path) => (path === file ? text : undefined),
  list: () => [],
})
const place = { file, socket: '/run/s.sock', dataDir: '/var/lib/s', platform: 'linux/amd64' }
const plan = (text: string | undefined, major?: number) => planSnapshotter({ ...place, major }, filesOf(text))
const becomes = (text: string | undefined, major?: number) => plan(text, major).edits[0]?.after ?? text

const proxy = `[proxy_plugins.shoal]
  type = "snapshot"
  address = "/run/s.sock"
`
const cri2 = `[plugins."io.containerd.grpc.v1.cri".containerd]
  snapshotter = "shoal"
  disable_snapshot_annotations = false
`
const three = `[proxy_plugins.shoal.exports]
  root = "/var/lib/s"
  enable_remote_snapshot_annotations = "true"

[[plugins."io.containerd.transfer.v1.local".unpack_config]]
  platform = "linux/amd64"
  snapshotter = "overlayfs"

[[plugins."io.containerd.transfer.v1.local".unpack_config]]
  platform = "linux/amd64"
  snapshotter = "shoal"
`
const cri3 = `[plugins."io.containerd.cri.v1.images"]
  snapshotter = "shoal"
  disable_snapshot_annotations = false
`
const debian = `version = 2

[plugins]
  [plugins."io.containerd.grpc.v1.cri"]
    [plugins."io.containerd.grpc.v1.cri".cni]
      bin_dir = "/usr/lib/cni"
  [plugins."io.containerd.internal.v1.opt"]
    path = "/var/lib/containerd"
`
const generated = `version = 2 # by containerd config default

[plugins."io.containerd.grpc.v1.cri".containerd]
  default_runtime_name = "runc"
  disable_snapshot_annotations = true
  snapshotter = "overlayfs"

[proxy_plugins]

[timeouts]
  "io.containerd.timeout.shim.cleanup" = "5s"
`

describe('the snapshotter in the configuration of containerd', () => {
  test.each([
    ['none, containerd 1', undefined, 1, `version = 2\n\n${proxy}\n${cri2}`],
    ['none, containerd 2', undefined, 2, `version = 3\n\n${proxy}\n${three}\n${cri3}`],
    ["Debian's", debian, 1, `${debian}\n${proxy}\n${cri2}`],
    [
      'one that containerd printed',
      generated,
      1,
      `${generated.replace('= true', '= false').replace('"overlayfs"', '"shoal"')}\n${proxy}`,
    ],
    ["Debian's, of a host that went on to containerd 2", debian, 2, `${debian}\n${proxy}\n${three}\n${cri2}\n${cri3}`],
    [
      'without a version, containerd 2',
      'oom_score = 0\n',
      2,
      `oom_score = 0\n\n${proxy}\n${three}\n${cri2.replace('io.containerd.grpc.v1.cri', 'cri').replaceAll('"cri"', 'cri')}\n${cri3}`,
    ],
    ['of the third version', 'version = 3\n', 2, `version = 3\n\n${proxy}\n${three}\n${cri3}`],
    [
      "without Kubernetes' half",
      'version = 2\ndisabled_plugins = ["cri"]\n',
      1,
      `version = 2\ndisabled_plugins = ["cri"]\n\n${proxy}`,
    ],
  ])('%s: is added, and a second time changes nothing', (_, before, major, after) => {
    expect(becomes(before, major)).toBe(after)
    expect(plan(after, major).edits).toEqual([])
  })

  test('others that images are unpacked into stay, in either way of writing them', () => {
    const list = 'plugins."io.containerd.transfer.v1.local".unpack_config'
    const tables = `version = 3\n\n[[${list}]]\n  platform = "linux/amd64"\n  snapshotter = "native"\n`
    expect(becomes(tables, 2)).toContain(`${tables.slice(12)}`)
    expect(becomes(tables, 2)).not.toContain('overlayfs')
    const inline = `version = 3\n[plugins."io.containerd.transfer.v1.local"]\nunpack_config = [{ platform = "linux/amd64", snapshotter = "native" },]\n`
    expect(becomes(inline, 2)).toContain(
      'unpack_config = [{ platform = "linux/amd64", snapshotter = "native" }, { platform = "linux/amd64", snapshotter = "shoal" }]',
    )
  })

  test('it is said which snapshotter Kubernetes used before, unless that was the usual one', () => {
    const text = generated.replace('"overlayfs"', '"stargz"')
    expect(plan(text, 1).notes.join()).toContain('used the snapshotter stargz')
    expect(plan(generated, 1).notes).toEqual([])
  })

  test('what cannot be edited in place is refused', () => {
    const inline = 'version = 2\nplugins = { "io.containerd.grpc.v1.cri" = { containerd = {} } }\n'
    expect(() => plan(inline, 1)).toThrow(/more than what the snapshotter needs; nothing was changed/)
    expect(() => plan('version = 2\n[plugins', 1)).toThrow(/line 2/)
  })

  test('the way back is byte for byte, also where there was no file', () => {
    for (const before of [undefined, debian, generated]) {
      const after = becomes(before, 1)
      const kept = { path: file, original: before, ours: (text: string | undefined) => text === after }
      expect(planSnapshotterUndo([kept], filesOf(after)).edits).toEqual([{ path: file, before: after, after: before }])
    }
  })

  test('what containerd 2 wants of an older file is taken out too', () => {
    const after = becomes(debian, 2)!
    expect(withoutSnapshotter(after, file)).not.toMatch(/snapshotter = "shoal"|proxy_plugins/)
  })

  test('from a file that somebody changed since only what was put there is taken out', () => {
    const after = `${becomes('version = 3\n', 2)}\n[metrics]\n  address = "127.0.0.1:1338"\n`
    const kept = { path: file, original: 'version = 3\n', ours: () => false }
    const { edits, notes } = planSnapshotterUndo([kept], filesOf(after))
    expect(notes.join()).toContain('changed since')
    expect(Bun.TOML.parse(edits[0]!.after!)).toEqual({
      version: 3,
      plugins: {
        'io.containerd.transfer.v1.local': { unpack_config: [{ platform: 'linux/amd64', snapshotter: 'overlayfs' }] },
        'io.containerd.cri.v1.images': { disable_snapshot_annotations: false },
      },
      metrics: { address: '127.0.0.1:1338' },
    })
    expect(withoutSnapshotter(debian, file)).toBe(debian)
  })
})
