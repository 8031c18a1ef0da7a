import { afterEach, beforeEach, describe, expect, spyOn, test } from 'bun:test'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { FakeClock, settle } from '../../test/fakes/clock.ts'
import { RecordedLog } from '../../test/fakes/registry-source.ts'
import { Failure } from '../failure.ts'
import { type Digest, digestOf } from '../oci/digest.ts'
import { Catalog, type Layer } from './catalog.ts'
import { type Disk, Folders } from './folders.ts'
import { Reconciler } from './reconciler.ts'
import { type Info, ownLabels, refLabel } from './snapshot.ts'
import { type Asked, type Layers, Snapshots } from './snapshots.ts'

/** A mounter whose layers are folders, by chain ID; and what there are indexes of. */
class FakeLayers implements Layers {
  readonly held = new Map<string, Set<string>>()
  readonly opened: string[] = []
  /** Why not. */
  refuses: Failure | undefined
  away = false
  /** Digests of layers that the mounter neither mounts nor lets go. */
  readonly broken = new Set<string>()
  mountedStill = true
  gate: Promise<void> = Promise.resolve()
  place = 'here'
  /** Chain IDs that end with one and the same layer. */
  readonly same = new Set<string>()
  /** Layers that do not describe all their folders. */
  implied = false
  /** What those go over. */
  readonly below: (readonly string[])[] = []

  constructor(readonly dir: string) {}

  async find({ ref }: Asked): Promise<Layer> {
    await this.gate
    if (this.refuses) throw this.refuses
    const digest = digestOf(new TextEncoder().encode(this.same.has(ref) ? 'the same' : ref))
    return { repository: 'docker.io/library/app', digest, mediaType: 'gzip', size: 1, diffId: digest }
  }
  async open(layer: Layer, holder: string) {
    this.opened.push(layer.digest)
    return { ...(await this.reopen(layer, holder)), implied: this.implied }
  }
  async makeFolders(_: string, below: readonly string[], into: string) {
    if (this.away) throw new Failure('unavailable', 'the mounter is away')
    this.below.push(below)
    mkdirSync(into)
    return true
  }
  async reopen({ digest }: Layer, holder: string) {
    if (this.away) throw new Failure('unavailable', 'the mounter is away')
    if (this.broken.has(digest)) throw new Failure('unavailable', 'its metadata cannot be read')
    const path = join(this.dir, this.place, digest.slice(7))
    mkdirSync(path, { recursive: true })
    this.held.set(digest, (this.held.get(digest) ?? new Set()).add(holder))
    return { id: digest, path }
  }
  async release(id: string, holder: string) {
    if (this.away) throw new Failure('unavailable', 'the mounter is away')
    if (this.broken.has(id)) throw new Failure('unavailable', 'umount: target is busy')
    const holders = this.held.get(id)
    holders?.delete(holder)
    if (holders?.size === 0) this.held.delete(id)
  }
  async usage() {
    return { size: 5, inodes: 2 }
  }
  mounted() {
    return this.mountedStill
  }
  async layers() {
    if (this.away) throw new Failure('unavailable', 'the mounter is away')
    const facts = {
      digest: digestOf(new Uint8Array()) as Digest,
      path: '',
      size: 0,
      here: 0,
      fetched: 0,
      deduped: 0,
      disk: 0,
    }
    return [...this.held].map(([id, holders]) => ({
      ...facts,
      ...{ id, holders: [...holders], complete: false, indexed: true, errors: [] },
    }))
  }
}

const chain = (name: string) => digestOf(new TextEncoder().encode(name))
const said = (call: Promise<unknown>) =>
  call.then(
    () => 'OK',
    (error: { code?: string; message: string }) => `${error.code}: ${error.message}`,
  )

describe('snapshots of layers that are mounted', () => {
  let dir: string
  let catalog: Catalog
  let layers: FakeLayers
  let snapshots: Snapshots
  let reconciler: Reconciler
  let counted: string[]
  let log: RecordedLog
  /** Names of folders begin so that the disk does not remove. */
  let stuck: string | undefined
  let removed: string[]
  /** What the disk removes it removes after that. */
  let removing: Promise<void>
  /** Told of each folder whose names get to the disk. */
  let synced: (folder: string) => void
  let number = 0

  const disk: Disk = {
    async remove(path) {
      await removing
      if (stuck && basename(path).startsWith(stuck)) throw Object.assign(new Error('EPERM'), { code: 'EPERM' })
      removed.push(path)
      await rm(path, { recursive: true, force: true })
    },
    sync: (folder) => synced(folder),
  }

  const begin = () => {
    const clock = new FakeClock()
    const witness = { lazy: () => void counted.push('lazy'), unpacked: (code: string) => void counted.push(code) }
    catalog = new Catalog(join(dir, 'db'))
    snapshots = new Snapshots({ catalog, folders: new Folders(dir, disk), layers, clock, log, witness })
    reconciler = new Reconciler(snapshots, catalog, layers, log)
  }
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'shoal-snapshots-'))
    layers = new FakeLayers(dir)
    counted = []
    log = new RecordedLog()
    stuck = undefined
    removing = Promise.resolve()
    removed = []
    synced = () => {}
    begin()
  })
  afterEach(() => {
    catalog.close()
    rmSync(dir, { recursive: true, force: true })
  })

  /** As containerd unpacks an image. */
  const pull = (ref: string, parent = '') =>
    said(snapshots.prepare(`ns/${++number}/extract-1 ${ref}`, parent, { [refLabel]: ref }))
  const committed = (ref: string, parent = ''): Info | undefined =>
    snapshots.list([`labels."${refLabel}"==${ref},parent=="${parent}"`])[0]
  const holders = () => [...layers.held.values()].flatMap((each) => [...each])

  test('are there already when they are asked for, and are found by label and parent', async () => {
    const [a, b] = [chain('a'), chain('b')]
    expect(await pull(a)).toStartWith('already-exists')
    expect(committed(a)).toMatchObject({ name: a, kind: 'committed' })
    expect(await pull(b, a)).toStartWith('already-exists')
    expect(committed(b, a)?.labels[ownLabels.lazy]).toBe(chain(b))
    expect(counted).toEqual(['lazy', 'lazy'])
    expect(await snapshots.usage(a)).toEqual({ size: 5, inodes: 2 })
    const [mount] = await snapshots.prepare('c', b, {})
    const lower = mount!.options
      .find((option) => option.startsWith('lowerdir='))!
      .slice(9)
      .split(':')
    expect(lower.map((path) => readlinkSync(path))).toEqual([b, a].map((ref) => join(dir, 'here', chain(ref).slice(7))))
  })

  test('are below a container once where an image lists a layer twice: the nearest', async () => {
    const [a, b, c] = [chain('a'), chain('b'), chain('c')]
    layers.same.add(a).add(c)
    await pull(a)
    await pull(b, a)
    await pull(c, b)
    const [mount] = await snapshots.prepare('container', c, {})
    const lower = mount!.options
      .find((option) => option.startsWith('lowerdir='))!
      .slice(9)
      .split(':')
    const [top, middle] = [committed(c, b)!, committed(b, a)!].map(({ name }) => catalog.get(name).id)
    expect(lower).toEqual([top, middle].map((id) => join(dir, `snapshots/${id}/fs`)))
    // Nothing else below it: a view of one layer is that layer.
    await pull(c, a)
    expect(await snapshots.view('view', committed(c, a)!.name, {})).toMatchObject([{ type: 'bind' }])
  })

  test('that do not describe all their folders have over them what those are on their parent', async () => {
    const [a, b, c] = [chain('a'), chain('b'), chain('c')]
    await pull(a)
    layers.implied = true
    await pull(b, a)
    expect(layers.below).toEqual([[committed(a)!].map(({ name }) => join(dir, `snapshots/${catalog.get(name).id}/fs`))])
    await pull(c, b)
    const ids = [committed(c, b)!, committed(b, a)!, committed(a)!].map(({ name }) => catalog.get(name).id)
    const at = (id: number, part: string) => join(dir, `snapshots/${id}/${part}`)
    const shown = ids.flatMap((id, i) => (i < 2 ? [at(id, 'over'), at(id, 'fs')] : [at(id, 'fs')]))
    // The nearest first, and what lies over a layer before that.
    expect(layers.below[1]).toEqual(shown.slice(2))
    const [mount] = await snapshots.prepare('container', c, {})
    expect(mount!.options).toContain(`lowerdir=${shown.join(':')}`)
    expect(await snapshots.view('view', b, {})).toMatchObject([
      { type: 'overlay', options: [`lowerdir=${shown.slice(2).join(':')}`, 'index=off'] },
    ])
  })

  test('with nothing below them need nothing over them; where it cannot be made they are unpacked', async () => {
    const [a, b] = [chain('a'), chain('b')]
    layers.implied = true
    await pull(a)
    expect(layers.below).toEqual([])
    layers.makeFolders = async () => {
      throw new Failure('unavailable', 'the disk is full')
    }
    const key = `ns/9/extract-1 ${b}`
    const [mount] = await snapshots.prepare(key, a, { [refLabel]: b })
    expect(mount?.type).toBe('overlay')
    await snapshots.commit('b', key, {}, a)
    expect(snapshots.stat('b').labels[ownLabels.unpacked]).toBe('the disk is full')
    expect(readdirSync(join(dir, 'snapshots')).filter((name) => name.startsWith('new-'))).toEqual([])
    await reconciler.run()
    expect(holders()).toHaveLength(1)
  })

  test('are mounted once when two ask at once, and when one asks again', async () => {
    const gate = Promise.withResolvers<void>()
    layers.gate = gate.promise
    const both = Promise.all([pull(chain('a')), pull(chain('a'))])
    gate.resolve()
    for (const answer of await both) expect(answer).toStartWith('already-exists')
    expect(await pull(chain('a'))).toStartWith('already-exists')
    expect(layers.opened).toHaveLength(1)
    expect(holders()).toHaveLength(1)
  })

  test('of one layer are two where it stands on two parents, as an unpacked and a mounted one of another namespace', async () => {
    const [a, b] = [chain('a'), chain('b')]
    await snapshots.prepare('other/1/x', '', {})
    await snapshots.commit(`other/2/${a}`, 'other/1/x', { [refLabel]: a }, '')
    await pull(a)
    await pull(b, `other/2/${a}`)
    await pull(b, a)
    expect(committed(b, `other/2/${a}`)?.name).toBe(b)
    expect(committed(b, a)?.name).toMatch(/^ns\/\d+\/extract-1/)
  })

  test('are unpacked where they cannot be mounted, and say why for as long as they are there', async () => {
    layers.refuses = new Failure('unsupported', 'one frame of zstd')
    const key = `ns/1/extract-1 ${chain('a')}`
    const [mount] = await snapshots.prepare(key, '', { [refLabel]: chain('a') })
    expect(mount?.options).toContain('rw')
    await snapshots.commit('a', key, { own: 'label', [ownLabels.unpacked]: 'a lie' }, '')
    expect(snapshots.stat('a').labels).toEqual({ own: 'label', [ownLabels.unpacked]: 'one frame of zstd' })
    expect(snapshots.update('a', {}, ['labels']).labels).toEqual({ [ownLabels.unpacked]: 'one frame of zstd' })
    expect(counted).toEqual(['unsupported'])
  })

  test('are not made on a parent that there is not, and the mounter holds nothing for them', async () => {
    expect(await pull(chain('a'), 'nobody')).toStartWith('not-found')
    await reconciler.run()
    expect(holders()).toEqual([])
  })

  test('let go of their layer when they are removed, at the latest when the mounter is back', async () => {
    await pull(chain('a'))
    await pull(chain('b'), chain('a'))
    layers.away = true
    snapshots.remove(chain('b'))
    await snapshots.cleanup()
    expect(holders()).toHaveLength(2)
    layers.away = false
    await reconciler.run()
    expect(holders()).toHaveLength(1)
    snapshots.remove(chain('a'))
    await snapshots.cleanup()
    expect(holders()).toEqual([])
  })

  test('let go of their layer, and others give their space back, where a folder cannot be removed; that is said once', async () => {
    for (const name of ['a', 'b', 'c']) await pull(chain(name))
    for (const key of ['c1', 'c2']) await snapshots.prepare(key, chain('a'), {})
    stuck = `gone-${catalog.get('c1').id}-`
    for (const key of ['c1', 'c2', chain('a')]) snapshots.remove(key)
    expect(await said(snapshots.cleanup())).toMatch(/^failed-precondition: .*gone-4-.* stays on the disk: .*chattr/)
    const left = () => readdirSync(join(dir, 'snapshots')).sort()
    expect([holders().length, left()]).toEqual([2, ['2', '3', expect.stringMatching(/^gone-4-/)]])
    // Nor does it keep others from being mounted again, or the next process from its work.
    layers.held.clear()
    await reconciler.run()
    expect(holders()).toHaveLength(2)
    expect(log.lines.filter((line) => line.includes('cannot be removed'))).toHaveLength(1)
    stuck = undefined
    expect(await said(snapshots.cleanup())).toBe('OK')
    expect(left()).toEqual(['2', '3'])
  })

  test('are mounted again after the mounter lost them, before a container needs them, and wherever they are then', async () => {
    await pull(chain('a'))
    layers.held.clear()
    layers.place = 'elsewhere'
    await reconciler.run()
    expect(holders()).toHaveLength(1)
    const [mount] = await snapshots.view('v', chain('a'), {})
    expect(readlinkSync(mount!.source)).toContain('elsewhere')
    layers.held.clear()
    layers.place = 'back'
    expect(readlinkSync((await snapshots.mounts('v'))[0]!.source)).toContain('back')
  })

  test('are mounted again while what others left is being removed, once however many ask for it', async () => {
    await pull(chain('a'))
    await snapshots.prepare('c', chain('a'), {})
    layers.held.clear()
    const gate = Promise.withResolvers<void>()
    removing = gate.promise
    snapshots.remove('c')
    const running = reconciler.run()
    await settle()
    expect(holders()).toHaveLength(1)
    gate.resolve()
    expect(await running).toBe(true)
    expect(removed).toHaveLength(1)
  })

  test('are mounted again and let go also where one before them cannot be, which is named, once', async () => {
    for (const name of ['a', 'b', 'c']) await pull(chain(name))
    layers.held.clear()
    layers.mountedStill = false
    layers.broken.add(chain(chain('a')))
    for (const name of ['a', 'b']) layers.held.set(chain(chain(name)), new Set([`${snapshots.holders}crashed`]))
    for (const round of [1, 2]) {
      expect([round, await reconciler.run()]).toEqual([round, false])
      expect(holders().filter((holder) => holder.endsWith('crashed'))).toHaveLength(1)
      expect(holders()).toHaveLength(3)
    }
    expect(log.lines.filter((line) => line.includes('cannot') && line.includes(chain(chain('a'))))).toEqual([
      expect.stringMatching(/^a layer of no snapshot cannot be let go/),
      expect.stringMatching(/^a layer cannot be mounted again, .*its metadata cannot be read/s),
    ])
    expect(log.lines.filter((line) => line.startsWith('the mounter is away'))).toEqual([])
    layers.broken.clear()
    expect(await reconciler.run()).toBe(true)
    expect(holders()).toHaveLength(3)
    // Without a mounter none is tried that it would not mount either.
    layers.held.clear()
    const tries = spyOn(layers, 'reopen').mockImplementation(async () => {
      layers.away = true
      throw new Failure('unavailable', 'the mounter broke off')
    })
    await reconciler.run()
    expect([tries.mock.calls.length, log.lines.at(-1)]).toEqual([1, expect.stringContaining('the mounter is away')])
  })

  test('are mounted as soon as a mounter comes that starts later', async () => {
    await pull(chain('a'))
    layers.held.clear()
    layers.away = true
    const clock = new FakeClock()
    const begun = reconciler.begin(clock, new AbortController().signal)
    await clock.run(2000)
    layers.away = false
    await clock.run(500)
    await begun
    expect(holders()).toHaveLength(1)
  })

  test('are used as they are mounted while the mounter is away, and refused when they are not', async () => {
    await pull(chain('a'))
    layers.away = true
    expect(await said(snapshots.prepare('c1', chain('a'), {}))).toBe('OK')
    layers.mountedStill = false
    expect(await said(snapshots.prepare('c2', chain('a'), {}))).toBe('unavailable: the mounter is away')
    expect(snapshots.list(['name==c2'])).toEqual([])
    layers.away = false
    expect(await said(snapshots.prepare('c2', chain('a'), {}))).toBe('OK')
  })

  test('have their folder on the disk before the catalog has them', async () => {
    const reader = new Catalog(join(dir, 'db'))
    const seen: unknown[] = []
    synced = (folder) => seen.push([reader.all().length, readdirSync(folder).sort()])
    await pull(chain('a'))
    await snapshots.prepare('c', '', {})
    reader.close()
    expect(seen).toEqual([
      [0, ['fs']],
      [0, ['1']],
      [1, ['fs', 'work']],
      [1, ['1', '2']],
    ])
  })

  test('whose folder a disk lost get it again as soon as the mounter has the layer', async () => {
    await pull(chain('a'))
    for (const lost of ['snapshots/1', 'snapshots/1/fs']) {
      rmSync(join(dir, lost), { recursive: true })
      layers.away = true
      expect(await said(snapshots.prepare('c', chain('a'), {}))).toBe('unavailable: the mounter is away')
      layers.away = false
      const [mount] = await snapshots.view(`after ${lost}`, chain('a'), {})
      expect(readlinkSync(mount!.source)).toContain('here')
    }
  })

  test('are the same after a restart; what was held for nobody is let go', async () => {
    await pull(chain('a'))
    await layers.reopen(await layers.find({ ref: 'x', namespace: '', labels: {} }), `${snapshots.holders}crashed`)
    await layers.reopen(await layers.find({ ref: 'y', namespace: '', labels: {} }), 'somebody else')
    const before = snapshots.list([])
    catalog.close()
    begin()
    expect(snapshots.list([])).toEqual(before)
    await reconciler.run()
    expect(holders()).toContain('somebody else')
    expect(holders()).toHaveLength(2)
  })

  test('of a client that does not ask are known by their key, and say so', async () => {
    await snapshots.prepare(`ns/1/extract-123-abc ${chain('a')}`, '', {})
    await snapshots.prepare('ns/2/my container', '', {})
    const reasons = snapshots.list([]).map(({ labels }) => labels[ownLabels.unpacked])
    expect(reasons).toEqual(['its client fetched the whole image before it asked', undefined])
    expect(existsSync(join(dir, 'snapshots/1/fs'))).toBe(true)
  })
})
