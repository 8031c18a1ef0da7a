import { describe, expect, test } from 'bun:test'
import { planContainerd } from './containerd.ts'
import type { Files } from './plan.ts'
import { planSnapshotter, planSnapshotterUndo, withoutSnapshotter } from './snapshotter.ts'
import { parse } from './toml.ts'

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
      'unpack_config = [{ platform = "linux/amd64", snapshotter = "native" }, { platform = "linux/amd64", snapshotter = "shoal" },]',
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

  describe('of a file that somebody changed since only that is taken back', () => {
    const local = 'plugins."io.containerd.transfer.v1.local"'
    const zfs = '{ platform = "linux/amd64", snapshotter = "zfs" }'
    const inlineZfs = `version = 3 # ours

[${local}]
  unpack_config = [${zfs}] # the pool

[plugins.'io.containerd.cri.v1.images']
  disable_snapshot_annotations = true # nobody reads them
  snapshotter = 'zfs' # the pool
`
    const dotted = `version = 2
[plugins."io.containerd.grpc.v1.cri"]
  containerd.snapshotter = "btrfs" # the pool
  containerd.disable_snapshot_annotations = true
`
    const listed = (list: string) =>
      `version = 3\n[${local}]\n  max_concurrent_downloads = 3\n  unpack_config = ${list}\n`
    const later = '\n# later\n[metrics]\n  address = "127.0.0.1:1338"\n'
    const back = (text: string, original: string | undefined, change = (after: string) => `${after}${later}`) => {
      const kept = { path: file, original, ours: () => false }
      const after = becomes(text, 2)!
      const undone = planSnapshotterUndo([kept], filesOf(change(after)))
      expect(undone.notes.join()).toContain('changed since')
      return undone.edits[0]!.after!
    }

    test.each([
      ['nothing in it', 'version = 3\n'],
      ["Debian's", debian],
      ['one that containerd printed', generated],
      ['another snapshotter, and a list in one line', inlineZfs],
      ['another snapshotter by a dotted key', dotted],
      ['a list of none', listed('[]')],
      ['a list of lines', listed(`[\n    ${zfs}, # the pool\n    # the usual one is not here\n  ]`)],
      [
        'a table for each',
        `version = 3\n[[${local}.unpack_config]]\n  platform = "linux/amd64"\n  snapshotter = "zfs"\n`,
      ],
    ])('%s: values and comments are those from before', (_, before) => {
      const undone = back(before, before)
      expect(parse(undone, file).values).toEqual({
        ...parse(before, file).values,
        metrics: { address: '127.0.0.1:1338' },
      })
      expect(undone).toStartWith(before)
      expect(undone).toEndWith(later)
    })

    test('what `shoal configure containerd` wrote into it stays', () => {
      const wanted = { mirrors: ['http://127.0.0.1:4880'], former: [], registries: [] }
      const configured = (text: string) =>
        planContainerd({ file, major: 2 }, filesOf(text), wanted).edits.find(({ path }) => path === file)!.after!
      expect(back(inlineZfs, inlineZfs, configured)).toBe(configured(inlineZfs))
    })

    test('in a list the others and their comments stay, wherever it was moved to', () => {
      const shoal = '{ platform = "linux/amd64", snapshotter = "shoal" }'
      const undone = (list: string) => withoutSnapshotter(listed(list), file, listed(`[${zfs}]`))
      expect(undone(`[${shoal}]`)).toBe(listed('[]'))
      expect(undone(`[${shoal}, ${zfs}]`)).toBe(listed(`[${zfs}]`))
      expect(undone(`[${shoal}, ${zfs}, ${shoal}]`)).toBe(listed(`[${zfs}]`))
      expect(undone(`[\n${zfs},\n${shoal},\n]`)).toBe(listed(`[\n${zfs},\n]`))
      expect(undone(`[\n${zfs}, # the pool\n${shoal} # new\n]`)).toBe(listed(`[\n${zfs}, # the pool\n # new\n]`))
    })

    test('where it said nothing of a list there is none again, and none that is empty', () => {
      const two = `[{ platform = "linux/amd64", snapshotter = "overlayfs" }, { platform = "linux/amd64", snapshotter = "shoal" }]`
      expect(withoutSnapshotter(listed(two), file, 'version = 3\n')).not.toContain('unpack_config')
      const own = listed(two.replace(', {', `, ${zfs}, {`))
      expect(withoutSnapshotter(own, file, 'version = 3\n')).toContain(`snapshotter = "overlayfs" }, ${zfs}]`)
      const others = listed('[{ platform = "linux/amd64", snapshotter = "overlayfs" }]')
      expect(withoutSnapshotter(others, file, 'version = 3\n')).toBe(others)
    })

    test('the value from before comes back also after containerd made the file into a newer one', () => {
      const migrated = () => `version = 3\n${cri3.replaceAll('"', "'")}`
      expect(back(dotted, dotted, migrated)).toBe(
        `version = 3\n[plugins.'io.containerd.cri.v1.images']\n  snapshotter = "btrfs"\n  disable_snapshot_annotations = true\n`,
      )
    })

    test('what somebody uses instead of it by now goes on, and has what it needs', () => {
      const stargz = (after: string) => after.replace('snapshotter = "shoal" # the pool', 'snapshotter = "stargz"')
      expect(parse(back(inlineZfs, inlineZfs, stargz), file).values.plugins).toMatchObject({
        'io.containerd.cri.v1.images': { snapshotter: 'stargz', disable_snapshot_annotations: false },
      })
    })

    test('what cannot be taken out in place is refused, and it is said what to do', () => {
      const inline = `version = 3\nplugins."io.containerd.cri.v1.images" = { snapshotter = "shoal" }\n`
      expect(() => withoutSnapshotter(inline, file, undefined)).toThrow(
        /names the snapshotter shoal .* take it out by hand/,
      )
    })

    test('one without any of it is as it was', () => {
      expect(withoutSnapshotter(debian, file, undefined)).toBe(debian)
    })
  })
})
