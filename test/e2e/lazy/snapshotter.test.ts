/** What containerd expects of every snapshotter, as its own suite for them has it, over gRPC and with real mounts. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { systemClock } from '../../../src/clock.ts'
import { type Snapshotter, startSnapshotter } from '../../../src/snapshotter/snapshotter.ts'
import { silentLog } from '../../../src/telemetry/log.ts'
import { scratchRoot } from '../../lab/lab.ts'
import { SnapshotterClient } from '../../lab/snapshots-client.ts'
import { until } from '../../lab/until.ts'

const obstacle = process.getuid?.() === 0 ? undefined : 'only root may mount'
if (obstacle) console.log(`skipped: a snapshotter for containerd: ${obstacle}`)

type Change = (dir: string) => void

describe.skipIf(obstacle !== undefined)('a snapshotter for containerd', () => {
  let dir: string
  let running: Snapshotter
  let client: SnapshotterClient
  let number = 0
  const fresh = (name: string) => `${name}-${++number}`

  const start = async () => {
    const nowhere = join(dir, 'nobody.sock')
    running = await startSnapshotter(
      {
        socket: join(dir, 's.sock'),
        dataDir: join(dir, 'data'),
        mounter: nowhere,
        containerd: nowhere,
        node: 'http://127.0.0.1:1',
        indexWaitMs: 0,
      },
      silentLog,
      systemClock,
    )
    client = new SnapshotterClient(join(dir, 's.sock'), join(dir, 'mounts'))
  }
  const stop = async () => {
    client?.close()
    await running?.close()
  }
  beforeAll(async () => {
    dir = mkdtempSync(join(scratchRoot, 'snapshotter-'))
    await start()
  })
  afterAll(async () => {
    await stop()
    rmSync(dir, { recursive: true, force: true })
  })

  const layer = async (parent: string, change: Change, labels = {}): Promise<string> => {
    const key = fresh('prepare')
    await client.within(await client.prepare(key, parent, labels), change)
    const name = fresh('committed')
    await client.commit(name, key, labels)
    return name
  }
  /** Each change as a layer of its own; after each the view equals what the same changes make of one folder. */
  const same = async (...changes: Change[]) => {
    const flat = mkdtempSync(join(dir, 'flat-'))
    let parent = ''
    for (const change of changes) {
      parent = await layer(parent, change)
      change(flat)
      const view = fresh('view')
      await client.within(await client.view(view, parent), (seen) => expect(tree(seen)).toEqual(tree(flat)))
      await client.remove(view)
    }
    return parent
  }
  // Not `rejects`, which keeps the loop from turning until the answer is here that the loop would bring.
  const said = (call: Promise<unknown>) =>
    call.then(
      () => 'OK',
      (error: Error) => error.message,
    )
  const refused = async (call: Promise<unknown>) => (await said(call)).replace(/:.*/s, '')

  test('what was written before a commit is there after it, under another name, and below what stands on it', async () => {
    const key = fresh('a')
    await client.within(await client.prepare(key), (at) => {
      writeFileSync(join(at, 'foo'), 'foo\n')
      mkdirSync(join(at, 'a/b/c'), { recursive: true })
    })
    const one = fresh('one')
    await client.commit(one, key)
    expect(await client.stat(one)).toMatchObject({ parent: '', kind: 'COMMITTED' })
    expect(await refused(client.stat(key))).toBe('NOT_FOUND')

    const next = fresh('next')
    await client.within(await client.prepare(next, one), (at) => {
      expect(readFileSync(join(at, 'foo'), 'utf8')).toBe('foo\n')
      writeFileSync(join(at, 'foo'), 'bar\n')
      rmSync(join(at, 'a/b'), { recursive: true })
    })
    expect(await client.stat(next)).toMatchObject({ parent: one, kind: 'ACTIVE' })
    const two = fresh('two')
    await client.commit(two, next)
    const view = fresh('view')
    await client.within(await client.view(view, two), (at) => {
      expect(readFileSync(join(at, 'foo'), 'utf8')).toBe('bar\n')
      expect(readdirSync(join(at, 'a'))).toEqual([])
    })
    const infos = await client.list()
    for (const name of [one, two]) expect(infos.find((info) => info.name === name)).toEqual(await client.stat(name))

    await client.remove(view)
    expect(await said(client.remove(one))).toMatch(/FAILED_PRECONDITION: .*remove/)
    await client.remove(two)
    await client.remove(one)
  })

  test('a name that is taken is refused for views and active ones, and a committed one is not mounted', async () => {
    const base = await layer('', () => {})
    const key = fresh('taken')
    await client.prepare(key, base)
    expect(await refused(client.prepare(key, base))).toBe('ALREADY_EXISTS')
    expect(await refused(client.view(key, base))).toBe('ALREADY_EXISTS')
    expect(await refused(client.commit(base, key))).toBe('ALREADY_EXISTS')
    expect(await refused(client.mounts(base))).toBe('FAILED_PRECONDITION')
    expect(await refused(client.mounts('nobody'))).toBe('NOT_FOUND')
    expect(await refused(client.commit(fresh('x'), 'nobody'))).toBe('NOT_FOUND')
    expect(await refused(client.commit(fresh('x'), base))).toBe('FAILED_PRECONDITION')
    expect(await refused(client.prepare(fresh('x'), 'nobody'))).toBe('NOT_FOUND')
    expect(await refused(client.prepare(fresh('x'), key))).toBe('INVALID_ARGUMENT')
    expect(await refused(client.remove('nobody'))).toBe('NOT_FOUND')
    expect(await refused(client.usage('nobody'))).toBe('NOT_FOUND')
    expect(await client.mounts(key)).toEqual(await client.mounts(key))
  })

  test('what others stand on cannot be removed, and names can be used again', async () => {
    const base = await layer('', () => {})
    const middle = await layer(base, () => {})
    const key = fresh('reuse')
    await client.prepare(key, middle)
    expect(await refused(client.remove(middle))).toBe('FAILED_PRECONDITION')
    await client.remove(key)
    await client.view(key, middle)
    await client.remove(key)
    await client.prepare(key)
    await client.remove(middle)
    await client.commit(middle, key)
    expect(await client.stat(middle)).toMatchObject({ parent: '', kind: 'COMMITTED' })
  })

  test('what stood on nothing can be put on a parent as it is committed, and on no other than its own', async () => {
    const base = await layer('', (at) => writeFileSync(join(at, 'below'), ''))
    const key = fresh('rebased')
    await client.within(await client.prepare(key), (at) => writeFileSync(join(at, 'above'), ''))
    const name = fresh('name')
    await client.commit(name, key, {}, base)
    expect(await client.stat(name)).toMatchObject({ parent: base })
    await client.within(await client.view(fresh('view'), name), (at) =>
      expect(readdirSync(at).sort()).toEqual(['above', 'below']),
    )
    const other = fresh('other')
    await client.prepare(other, base)
    expect(await refused(client.commit(fresh('x'), other, {}, name))).toBe('INVALID_ARGUMENT')
  })

  test('of what there is labels can be changed, one by one or all, and nothing else', async () => {
    const base = await layer('', () => {})
    const names = [base, fresh('active'), fresh('view')]
    await client.prepare(names[1]!, base)
    await client.view(names[2]!, base)
    for (const name of names) {
      const before = await client.stat(name)
      expect(before.updatedAt).toBe(before.createdAt)
      const all = await client.update({ name, parent: 'nobody', labels: { l1: 'v1', l2: 'v2', l3: 'v3' } })
      expect(all).toEqual({ ...before, labels: { l1: 'v1', l2: 'v2', l3: 'v3' }, updatedAt: all.updatedAt })
      expect(all.updatedAt).toBeGreaterThanOrEqual(before.updatedAt)
      const some = await client.update({ name, labels: { l1: 'updated', l4: 'v4' } }, 'labels.l1', 'labels.l2')
      expect(some.labels).toEqual({ l1: 'updated', l3: 'v3' })
      expect((await client.update({ name, labels: { l4: 'v4' } }, 'labels')).labels).toEqual({ l4: 'v4' })
      expect(await refused(client.update({ name, parent: 'nobody', labels: {} }, 'parent'))).toBe('INVALID_ARGUMENT')
      expect((await client.stat(name)).labels).toEqual({ l4: 'v4' })
    }
  })

  test('filters find by kind, name, parent and labels', async () => {
    const own = fresh('walk')
    const root = { 'containerd.io/gc.root': own }
    const at = (name: string) => `${own}-${name}`
    await client.prepare(at('a-np'), '', root)
    await client.prepare(at('tmp'), '', root)
    await client.commit(at('p'), at('tmp'), root)
    await client.prepare(at('a'), at('p'), root)
    await client.view(at('v'), at('p'), root)
    await client.prepare(at('tmp'), '', root)
    await client.commit(at('p-wl'), at('tmp'), { ...root, l: '1' })
    await client.prepare(at('a-wl'), at('p-wl'), { ...root, l: '2' })
    await client.view(at('v-wl'), at('p-wl'), { ...root, l: '3' })
    await client.prepare(at('a-np-wl'), '', { ...root, l: '2' })
    const mine = `labels."containerd.io/gc.root"==${own}`
    const found = async (...filters: string[]) =>
      (await client.list(...filters)).map(({ name }) => name.slice(own.length + 1)).sort()
    expect(await found(mine)).toEqual(['a', 'a-np', 'a-np-wl', 'a-wl', 'p', 'p-wl', 'v', 'v-wl'])
    expect(await found(`kind==active,${mine}`)).toEqual(['a', 'a-np', 'a-np-wl', 'a-wl'])
    expect(await found(`kind==view,${mine}`)).toEqual(['v', 'v-wl'])
    expect(await found(`kind==committed,${mine}`)).toEqual(['p', 'p-wl'])
    expect(await found(`name==${at('p')}`, `name==${at('a-np-wl')}`)).toEqual(['a-np-wl', 'p'])
    expect(await found(`name==${at('a-wl')},labels.l`)).toEqual(['a-wl'])
    expect(await found(`parent==${at('p')}`)).toEqual(['a', 'v'])
    expect(await found(`parent!="",${mine}`)).toEqual(['a', 'a-wl', 'v', 'v-wl'])
    expect(await found(`labels.l,${mine}`)).toEqual(['a-np-wl', 'a-wl', 'p-wl', 'v-wl'])
    expect(await found(`labels.l==2,${mine}`)).toEqual(['a-np-wl', 'a-wl'])
    expect(await found(`parent==${at('p-wl')},labels.l==3`)).toEqual(['v-wl'])
    expect(await found(`labels.l!=2,${mine},kind~=/act|view/`)).toEqual(['a', 'a-np', 'v', 'v-wl'])
    expect(await refused(client.list('name=p'))).toBe('INVALID_ARGUMENT')
  })

  test('layers change files, owners, modes and folders as changes in one folder do', async () => {
    const put =
      (path: string, text: string, mode = 0o644) =>
      (at: string) => {
        writeFileSync(join(at, path), text)
        chmodSync(join(at, path), mode)
      }
    const folder = (path: string) => (at: string) => mkdirSync(join(at, path), { mode: 0o700 })
    const gone = (path: string) => (at: string) => rmSync(join(at, path), { recursive: true })
    const own = (path: string, id: number) => (at: string) => chownSync(join(at, path), id, id)
    const all =
      (...changes: Change[]) =>
      (at: string) => {
        for (const change of changes) change(at)
      }

    await same(
      all(folder('etc'), put('etc/hosts', '10.0.0.1'), put('etc/profile', 'PATH=/usr/bin')),
      all(
        put('etc/hosts', '10.0.0.2'),
        put('etc/profile', 'PATH=/usr/bin', 0o666),
        folder('root'),
        put('root/.bashrc', ''),
      ),
    )
    await same(
      all(folder('lib'), put('lib/hidden', '')),
      all(gone('lib'), folder('lib'), put('lib/not-hidden', '')),
      put('lib/newfile', ''),
    )
    await same(
      all(folder('opt'), folder('opt/a'), put('opt/a/file', 'hello')),
      all(own('opt', 1), own('opt/a', 1), own('opt/a/file', 1)),
    )
    await same(
      all(folder('d1'), folder('d2'), folder('d3'), own('d1', 1), own('d2', 1), own('d3', 1)),
      all(own('d2', 0), gone('d3')),
      all(folder('d3'), own('d3', 1), gone('d1')),
    )
    await same(
      all(folder('dir1'), put('dir1/f1', 'Hello'), folder('dir2'), put('dir2/f2', '...')),
      all(
        folder('dir3'),
        put('dir3/f1', 'Hello'),
        gone('dir1'),
        (at) => linkSync(join(at, 'dir2/f2'), join(at, 'dir3/f2')),
        gone('dir2/f2'),
      ),
    )
    await same(
      all(folder('files'), put('files/f1', 'first'), put('files/f2', 'nothing')),
      all(
        put('files/new', 'new'),
        (at) => renameSync(join(at, 'files/new'), join(at, 'files/f1')),
        (at) => renameSync(join(at, 'files/f2'), join(at, 'files/f3')),
      ),
    )
    await same(all(put('foo', 'foo'), put('foobar', 'foobar')), gone('foobar'), () => {})
  })

  test('a view is read-only, with one layer below it and with two', async () => {
    const one = await layer('', () => {})
    const two = await layer(one, () => {})
    for (const parent of ['', one, two]) {
      const view = fresh('view')
      await client.within(await client.view(view, parent), (at) =>
        expect(() => writeFileSync(join(at, 'x'), '')).toThrow('EROFS'),
      )
      await client.remove(view)
    }
  })

  test('root of a new snapshot is open to all, its owner is that of the root below, or of the user namespace', async () => {
    await client.within(await client.prepare(fresh('a')), (at) => expect(statSync(at).mode & 0o777).toBe(0o755))
    const owned = await layer('', (at) => chownSync(at, 7, 8))
    await client.within(await client.prepare(fresh('b'), owned), (at) =>
      expect(statSync(at)).toMatchObject({ uid: 7, gid: 8 }),
    )
    const labels = {
      'containerd.io/snapshot/uidmapping': '0:1000:65536',
      'containerd.io/snapshot/gidmapping': '0:2000:65536',
    }
    await client.within(await client.prepare(fresh('c'), owned, labels), (at) =>
      expect(statSync(at)).toMatchObject({ uid: 1000, gid: 2000 }),
    )
  })

  test('127 layers can be mounted', async () => {
    const flat = mkdtempSync(join(dir, 'flat-'))
    let parent = ''
    for (let i = 0; i < 127; i++) {
      const key = fresh('deep')
      const [mount] = await client.prepare(key, parent)
      // Written beside a mount: an overlay of 127 for each of them takes long, and the last one shows all.
      const upper =
        mount!.type === 'bind'
          ? mount!.source
          : mount!.options.find((option) => option.startsWith('upperdir='))!.slice(9)
      for (const at of [flat, upper]) {
        writeFileSync(join(at, 'overwritten'), `${i} was here\n`)
        writeFileSync(join(at, `file-${i}`), 'same\n')
      }
      parent = fresh('deep')
      await client.commit(parent, key)
    }
    await client.within(await client.view(fresh('view'), parent), (at) => expect(tree(at)).toEqual(tree(flat)))
  })

  test('usage counts blocks once for each file, and a removed snapshot gives its space back', async () => {
    const key = fresh('usage')
    const mounts = await client.prepare(key)
    const empty = await client.usage(key)
    await client.within(mounts, (at) => {
      writeFileSync(join(at, 'file'), new Uint8Array(1 << 20).fill(1))
      linkSync(join(at, 'file'), join(at, 'other name'))
    })
    const full = await client.usage(key)
    expect(full.inodes).toBe(empty.inodes + 1)
    expect(full.size).toBeGreaterThanOrEqual(1 << 20)
    expect(full.size).toBeLessThan(1.5 * (1 << 20))
    const name = fresh('name')
    await client.commit(name, key)
    expect(await client.usage(name)).toEqual(full)
    const files = mounts[0]!.source
    await client.remove(name)
    await client.cleanup()
    expect(existsSync(files)).toBe(false)
    expect(readdirSync(join(dir, 'data/snapshots')).filter((each) => !/^\d+$/.test(each))).toEqual([])
  })

  test('all is as it was after a restart, and what no snapshot has is removed', async () => {
    const kept = await layer('', (at) => writeFileSync(join(at, 'kept'), 'kept'))
    const key = fresh('active')
    await client.prepare(key, kept, { l: 'v' })
    const before = await client.list()
    const mounts = await client.mounts(key)
    const stray = ['new-abc', 'gone-1-x', '999999'].map((name) => join(dir, 'data/snapshots', name))
    for (const path of stray) mkdirSync(join(path, 'fs'), { recursive: true })
    await stop()
    await start()
    expect(await client.list()).toEqual(before)
    expect(await client.mounts(key)).toEqual(mounts)
    await until('it is removed', 10, async () => !stray.some(existsSync))
  })

  test('a folder that cannot be removed is named, and keeps neither others nor the next process from their work', async () => {
    const [stuck, other] = ['gone-1-stuck', 'gone-2-other'].map((name) => join(dir, 'data/snapshots', name))
    mkdirSync(join(stuck!, 'fs/mounted'), { recursive: true })
    mkdirSync(join(other!, 'fs'), { recursive: true })
    execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', join(stuck!, 'fs/mounted')])
    try {
      expect(await said(client.cleanup())).toMatch(/FAILED_PRECONDITION: .*gone-1-stuck stays on the disk: .*findmnt/)
      expect(existsSync(other!)).toBe(false)
      await stop()
      await start()
    } finally {
      execFileSync('umount', [join(stuck!, 'fs/mounted')])
    }
    await client.cleanup()
    expect(existsSync(stuck!)).toBe(false)
  })

  test('a second one on the same socket is refused, and says what to do', async () => {
    const settings = {
      socket: join(dir, 's.sock'),
      dataDir: join(dir, 'other'),
      mounter: '',
      containerd: '',
      node: '',
      indexWaitMs: 0,
    }
    expect(await said(startSnapshotter(settings, silentLog, systemClock))).toMatch(/serves .* already; end that one/)
  })
})

/** Everything that can be told of a tree, by path. */
function tree(root: string): Record<string, string> {
  const found: Record<string, string> = {}
  const walk = (path: string) => {
    for (const name of readdirSync(join(root, path)).sort()) {
      const at = join(path, name)
      const { mode, uid, gid, nlink } = lstatSync(join(root, at))
      const folder = lstatSync(join(root, at)).isDirectory()
      found[at] = [
        mode.toString(8),
        uid,
        gid,
        folder ? '' : nlink,
        folder ? '' : readFileSync(join(root, at), 'utf8'),
      ].join(' ')
      if (folder) walk(at)
    }
  }
  walk('')
  return found
}
