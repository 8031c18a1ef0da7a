/** The mounter, with real mounts: what it shows, what it refuses, and what is left when it is killed or replaced. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Member } from '../../fakes/tar.ts'
import { lazyObstacle, MountLab } from '../../lab/mount-lab.ts'
import { run, tryRun } from '../../lab/run.ts'
import { until } from '../../lab/until.ts'

const obstacle = lazyObstacle('the mounter')
const size = 300_000
const content = (i: number) => Buffer.alloc(size, `file ${i} `)
/** Files that no test has read yet are in no page cache. */
const files = (count: number): Member[] =>
  Array.from({ length: count }, (_, i) => ({ name: `files/${i}`, mode: 0o644, data: content(i) }))
const base: Member[] = [
  { name: './', flag: '5', mode: 0o751, uid: 12, gid: 34 },
  { name: 'etc/', flag: '5', mode: 0o755 },
  { name: 'etc/hosts', mode: 0o644, data: 'base' },
  { name: 'etc/gone', mode: 0o644, data: 'base' },
  { name: 'tmp/', flag: '5', mode: 0o1777 },
  ...files(80),
]
const top: Member[] = [
  { name: './', flag: '5', mode: 0o751, uid: 12, gid: 34 },
  { name: 'etc/', flag: '5', mode: 0o755 },
  { name: 'etc/.wh.gone' },
  { name: 'etc/hosts', mode: 0o600, data: 'top' },
]

/** Reads in a process of its own: one that hangs hangs there, and not the test. */
async function read(path: string, seconds = 25) {
  const { code, stdout, stderr } = await tryRun(['timeout', '-k', '1', String(seconds), 'md5sum', path])
  return code === 0 ? stdout.split(' ')[0]! : stderr
}
const sum = (i: number) => new Bun.CryptoHasher('md5').update(content(i)).digest('hex')
/** Of a longer run: `LAZY_MOUNTS=50 LAZY_ROUNDS=20 bun test test/e2e/lazy/mounter.test.ts -t many` */
const crowd = Number(process.env.LAZY_MOUNTS ?? 10)
const rounds = Number(process.env.LAZY_ROUNDS ?? 2)
const memory = (pid: number) => Number(readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ')[1]) * 4096
const descriptors = (pid: number) => readdirSync(`/proc/${pid}/fd`).length

describe.skipIf(obstacle !== undefined)('a mounted image', () => {
  let lab: MountLab
  let image: string
  beforeAll(async () => {
    lab = await MountLab.start()
    image = await lab.image('lab/app', [base, top])
  }, 30_000)
  afterAll(() => lab?.close(), 20_000)

  const becomesAnother = (before: string) =>
    until('it is another', 20, async () => {
      const facts = await lab.client.facts().catch(() => undefined)
      return facts !== undefined && facts.since !== before
    })

  test('is its layers, one over the other, read-only', async () => {
    const dir = lab.folder('ro')
    const mounted = await lab.mount(image, dir)
    expect(mounted).toMatchObject({ dir, image, rw: false, process: { cmd: ['/bin/app'], env: ['A=b'] } })
    const seen = await tryRun(['sh', '-c', 'cd "$1" && ls etc && cat etc/hosts && stat -c "%a %u %g" . tmp', 'sh', dir])
    expect(seen.stdout).toBe('hosts\ntop751 12 34\n1777 0 0\n')
    expect(await read(join(dir, 'files/0'))).toBe(sum(0))
    expect((await tryRun(['touch', join(dir, 'new')])).stderr).toContain('Read-only file system')
    expect(readFileSync('/proc/self/mountinfo', 'utf8')).toContain(` ${dir} ro,nosuid,nodev`)
    expect((await lab.client.mounts()).map((each) => each.dir)).toEqual([dir])
    await lab.client.unmount(dir)
    expect(await lab.client.layers()).toEqual([])
    expect(lab.mounts()).toEqual([join(lab.dir, 'm.d/files')])
  })

  test('with --rw is written to, and the next one has nothing of that', async () => {
    const dir = lab.folder('rw')
    for (const written of ['first', 'second']) {
      await lab.mount(image, dir, { rw: true })
      const commands = 'cd "$1" && ls -A && stat -c "%a %u %g" . && rm etc/hosts && echo "$2" > new && cat new'
      const seen = await tryRun(['sh', '-c', commands, 'sh', dir, written])
      expect(seen.stdout).toBe(`etc\nfiles\ntmp\n751 12 34\n${written}\n`)
      await lab.client.unmount(dir)
    }
    expect(readdirSync(join(lab.dir, 'data/writable'))).toEqual([])
  })

  test('that is in use stays, and who uses it is said', async () => {
    const dir = lab.folder('used')
    await lab.mount(image, dir)
    const user = Bun.spawn(['sleep', '60'], { cwd: dir })
    try {
      expect(lab.client.unmount(dir)).rejects.toThrow(`${dir} is in use by sleep (${user.pid}); end that`)
      await lab.client.unmount(dir).catch(() => {})
    } finally {
      user.kill()
      await user.exited
    }
    await lab.client.unmount(dir)
  })

  test('whose layer somebody looks into is served to that process after an upgrade too, and unmounted when it ends', async () => {
    lab.set('cold')
    const dir = lab.folder('looked')
    await lab.mount(image, dir)
    const path = (await lab.client.layers()).find(({ size: all }) => all > size)!.path
    const user = Bun.spawn(['sleep', '60'], { cwd: path })
    try {
      await lab.client.unmount(dir)
      const { since } = await lab.client.facts()
      await lab.client.upgrade()
      await becomesAnother(since)
      expect(await read(`/proc/${user.pid}/cwd/files/67`)).toBe(sum(67))
    } finally {
      user.kill()
      await user.exited
      lab.set('cold', false)
    }
    await until('it is unmounted', 10, async () => (await lab.client.layers()).length === 0)
    expect(lab.mounts()).toEqual([join(lab.dir, 'm.d/files')])
  }, 40_000)

  test('that somebody has elsewhere is read on when it is unmounted, after an upgrade too, and goes when that ends', async () => {
    lab.set('cold')
    const [dir, bound, over] = [lab.folder('shown'), lab.folder('bound'), lab.folder('over')]
    await lab.mount(image, dir, { prefetch: false })
    await run(['mount', '--bind', dir, bound])
    // As engines make of a root file system; below it they may have nothing but it.
    const folders = ['over-upper', 'over-work'].map((name) => lab.folder(name))
    const options = `lowerdir=${dir},upperdir=${folders[0]},workdir=${folders[1]}`
    const stacked = (await tryRun(['mount', '-t', 'overlay', 'overlay', '-o', options, over])).code === 0
    await lab.client.unmount(dir)
    expect(lab.mounts()).not.toContain(dir)
    expect(await read(join(bound, 'files/76'))).toBe(sum(76))
    const { since } = await lab.client.facts()
    await lab.client.upgrade()
    await becomesAnother(since)
    expect(await read(join(bound, 'files/77'))).toBe(sum(77))
    // Of the same files, and not of others.
    await lab.mount(image, dir, { prefetch: false })
    expect(await lab.client.layers()).toHaveLength(2)
    expect(await read(join(dir, 'files/78'))).toBe(sum(78))
    await lab.client.unmount(dir)
    expect(await read(join(bound, 'files/79'))).toBe(sum(79))
    await run(['umount', bound])
    if (stacked) {
      expect(await read(join(over, 'files/68'))).toBe(sum(68))
      await run(['umount', over])
    }
    await until('it is gone', 10, async () => (await lab.client.layers()).length === 0)
    lab.set('cold', false)
    expect(lab.mounts()).toEqual([join(lab.dir, 'm.d/files')])
  }, 40_000)

  test('with --rw that somebody has elsewhere keeps what is written to it until that ends', async () => {
    const [dir, other] = [lab.folder('rw-shown'), lab.folder('rw-other')]
    const written = () => readdirSync(join(lab.dir, 'data/writable')).length
    await lab.mount(image, dir, { rw: true })
    await lab.mount(image, other, { rw: true })
    writeFileSync(join(dir, 'written'), 'kept')
    // In a namespace of its own, where no mount of the host's is taken away.
    const user = Bun.spawn(['unshare', '-m', '--propagation', 'private', 'sleep', '60'])
    try {
      await until('it has its own mounts', 10, async () => {
        const own = await tryRun(['readlink', `/proc/${user.pid}/ns/mnt`])
        return own.code === 0 && own.stdout !== (await run(['readlink', '/proc/self/ns/mnt']))
      })
      await lab.client.unmount(other)
      await lab.client.unmount(dir)
      const seen = await tryRun([
        'nsenter',
        '-t',
        String(user.pid),
        '-m',
        'sh',
        '-c',
        `cat ${dir}/written; echo more > ${dir}/more && cat ${dir}/more ${dir}/etc/hosts`,
      ])
      expect(seen.stdout).toBe('keptmore\ntop')
      expect(written()).toBe(2)
    } finally {
      user.kill()
      await user.exited
    }
    await until('it is gone', 20, async () => (await lab.client.layers()).length === 0 && written() === 0)
    expect(lab.mounts()).toEqual([join(lab.dir, 'm.d/files')])
  }, 40_000)

  test('keeps folders that lie over its layers while somebody has it elsewhere, past other mounts and mounters', async () => {
    const over: Member[] = [{ name: 'tmp/new', mode: 0o600, data: 'over' }]
    const dated: Member = { name: './', flag: '5', mode: 0o751, uid: 12, gid: 34, mtime: 1_500_000_000 }
    const covered = await lab.image('lab/covered', [base, [dated, ...over]])
    const [dir, other] = [lab.folder('covered'), lab.folder('covered-again')]
    const written = () => readdirSync(join(lab.dir, 'data/writable')).length
    lab.set('complete')
    await lab.mount(covered, dir)
    // In a namespace of its own, where no mount of the host's is taken away.
    const user = Bun.spawn(['unshare', '-m', '--propagation', 'private', 'sleep', '60'])
    const seen = async () => {
      const commands = 'cd "$1" && cat tmp/new && stat -c " %a %u %g %Y" . && stat -c %a tmp; touch new'
      const { stdout, stderr } = await tryRun([
        ...['nsenter', '-t', String(user.pid), '-m', 'sh', '-c', commands, 'sh', dir],
      ])
      return [stdout, stderr.includes('Read-only file system')]
    }
    const right = ['over 751 12 34 1500000000\n1777\n', true]
    try {
      await until('it has its own mounts', 10, async () => {
        const own = await tryRun(['readlink', `/proc/${user.pid}/ns/mnt`])
        return own.code === 0 && own.stdout !== (await run(['readlink', '/proc/self/ns/mnt']))
      })
      await lab.client.unmount(dir)
      await lab.mount(covered, other)
      await lab.client.unmount(other)
      await until('what the other one had is gone', 20, async () => written() === 1)
      expect(await seen()).toEqual(right)
      await lab.mounter.kill()
      await lab.restart()
      // A few sweeps.
      await Bun.sleep(2500)
      expect([written(), ...(await seen())]).toEqual([1, ...right])
    } finally {
      user.kill()
      await user.exited
      lab.set('complete', false)
    }
    await until('it is gone', 20, async () => written() === 0)
    expect(lab.mounts()).toEqual([join(lab.dir, 'm.d/files')])
  }, 60_000)

  test('that the kernel reads by itself is known for as long as somebody has it elsewhere', async () => {
    const [dir, bound] = [lab.folder('whole-shown'), lab.folder('whole-bound')]
    lab.set('complete')
    await lab.mount(image, dir)
    await run(['mount', '--bind', dir, bound])
    await lab.client.unmount(dir)
    const { since } = await lab.client.facts()
    await lab.client.upgrade()
    await becomesAnother(since)
    expect((await lab.client.layers()).map(({ holders }) => holders)).toEqual([[], []])
    expect(await read(join(bound, 'files/69'))).toBe(sum(69))
    await run(['umount', bound])
    await until('it is gone', 10, async () => (await lab.client.layers()).length === 0)
    lab.set('complete', false)
    expect(lab.mounts()).toEqual([join(lab.dir, 'm.d/files')])
  }, 40_000)

  test('is not unmounted from below what somebody else has mounted over it', async () => {
    const dir = lab.folder('below')
    await lab.mount(image, dir)
    await run(['mount', '-t', 'tmpfs', 'theirs', dir])
    writeFileSync(join(dir, 'file'), 'theirs')
    await expect(lab.client.unmount(dir)).rejects.toThrow(`umount ${dir} takes that away`)
    expect(readFileSync(join(dir, 'file'), 'utf8')).toBe('theirs')
    await run(['umount', dir])
    expect(readFileSync(join(dir, 'etc/hosts'), 'utf8')).toBe('top')
    await lab.client.unmount(dir)
    expect(lab.mounts()).toEqual([join(lab.dir, 'm.d/files')])
  })

  test('is refused where it would hide or break something, with what to do', async () => {
    const dir = lab.folder('taken')
    const link = join(lab.dir, 'link')
    symlinkSync(dir, link)
    const file = join(lab.folder('full'), 'file')
    writeFileSync(file, '')
    await lab.mount(image, dir)
    const refusals: [string, string][] = [
      [dir, `${image} is mounted at ${dir} already; shoal umount ${dir} first`],
      [link, `is mounted at ${dir} already`],
      [join(lab.dir, 'none'), 'there is no directory'],
      [file, 'is not a directory'],
      [join(lab.dir, 'full'), 'is not empty'],
      ['/proc', '/proc is a mount point of something else'],
      ['relative', 'expected an absolute path'],
    ]
    for (const [where, said] of refusals) expect(lab.mount(image, where)).rejects.toThrow(said)
    await Promise.allSettled(refusals.map(([where]) => lab.mount(image, where)))
    const free = lab.folder('free')
    expect(lab.mount(`${lab.registry.host}/lab/none:v1`, free)).rejects.toThrow()
    expect(lab.mount(image, free, { platform: 'all' })).rejects.toThrow('one platform is mounted')
    expect(lab.client.unmount(free)).rejects.toThrow(`nothing is mounted at ${free} by shoal`)
    await lab.client.unmount(link)
    expect(lab.mounts()).toEqual([join(lab.dir, 'm.d/files')])
  })

  test('whose bytes cannot be had gives an error to who reads, and the right bytes when they can', async () => {
    lab.set('cold')
    const dir = lab.folder('lost')
    await lab.mount(image, dir)
    lab.set('lost')
    expect(await read(join(dir, 'files/2'))).toContain('Input/output error')
    lab.set('lost', false)
    expect(await read(join(dir, 'files/2'))).toBe(sum(2))
    expect((await lab.client.facts()).reads.failed).toBeGreaterThan(0)
    lab.set('held')
    const reading = read(join(dir, 'files/3'))
    await until('a read waits', 10, async () => (await lab.client.facts()).reads.waiting > 0)
    lab.set('held', false)
    expect(await reading).toBe(sum(3))
    lab.set('cold', false)
    await lab.client.unmount(dir)
  }, 30_000)

  test('is read on while the mounter becomes another program', async () => {
    lab.set('cold')
    const dir = lab.folder('upgraded')
    await lab.mount(image, dir)
    const { pid } = lab.mounter
    const before = (await lab.client.facts()).since
    const all = (async () => {
      const results: boolean[] = []
      const reader = async (first: number) => {
        for (let i = first; i < 60; i += 8) results.push((await read(join(dir, `files/${i}`))) === sum(i))
      }
      await Promise.all(Array.from({ length: 8 }, (_, first) => reader(first + 4)))
      return results
    })()
    // Some of the reads are under way when it happens: they were taken by a program that is no more.
    lab.set('held')
    await until('reads wait', 10, async () => (await lab.client.facts()).reads.waiting > 0)
    await lab.client.upgrade()
    await becomesAnother(before)
    lab.set('held', false)
    const results = await all
    expect(results).toHaveLength(56)
    expect(results.filter((right) => !right)).toEqual([])
    expect(await lab.client.facts()).toMatchObject({ pid, mounts: 1 })
    lab.set('cold', false)
    await lab.client.unmount(dir)
  }, 60_000)

  test('is mounted by the program that was asked, which becomes another after that', async () => {
    const dir = lab.folder('during')
    const before = (await lab.client.facts()).since
    lab.set('opening')
    const mounting = lab.mount(image, dir)
    await Bun.sleep(300)
    await lab.client.upgrade()
    await Bun.sleep(700)
    expect((await lab.client.facts()).since).toBe(before)
    lab.set('opening', false)
    expect((await mounting).dir).toBe(dir)
    await becomesAnother(before)
    expect((await lab.client.mounts()).map((mount) => mount.dir)).toEqual([dir])
    expect(await read(join(dir, 'files/61'))).toBe(sum(61))
    await lab.client.unmount(dir)
    expect(lab.mounts()).toEqual([join(lab.dir, 'm.d/files')])
  }, 60_000)

  test('is read on where the kernel does not start the other program', async () => {
    lab.set('cold')
    const dir = lab.folder('unstarted')
    await lab.mount(image, dir)
    const { pid, since } = await lab.client.facts()
    lab.set('held')
    const reading = read(join(dir, 'files/63'))
    await until('a read waits', 10, async () => (await lab.client.facts()).reads.waiting > 0)
    lab.set('broken-program')
    await lab.client.upgrade()
    await becomesAnother(since)
    lab.set('broken-program', false)
    lab.set('held', false)
    expect(await reading).toBe(sum(63))
    expect(await lab.client.facts()).toMatchObject({ pid, mounts: 1 })
    expect(lab.log()).toContain('start /nowhere/bun: ENOENT')
    lab.set('cold', false)
    await lab.client.unmount(dir)
  }, 60_000)

  test('stays with its program where the other one has gone by the time that it is to become that', async () => {
    const dir = lab.folder('late')
    const { since } = await lab.client.facts()
    lab.set('opening')
    const mounting = lab.mount(image, dir)
    await Bun.sleep(300)
    await lab.client.upgrade()
    lab.set('no-program')
    lab.set('opening', false)
    await mounting
    await until('it is said', 10, async () => lab.log().includes('"error":"there is no program"'))
    expect((await lab.client.facts()).since).toBe(since)
    expect(await read(join(dir, 'files/64'))).toBe(sum(64))
    lab.set('no-program', false)
    await lab.client.upgrade()
    await becomesAnother(since)
    await lab.client.unmount(dir)
  }, 60_000)

  test('lacks nothing where the program before took for mounted what is not', async () => {
    const [first, second] = [lab.folder('first'), lab.folder('second')]
    await lab.mount(image, first)
    const { since } = await lab.client.facts()
    const layers = (await lab.client.layers()).map(({ path }) => path)
    // As a child leaves it that was unmounting when the program became another.
    for (const target of [first, layers[0]!]) await run(['umount', target])
    await lab.client.upgrade()
    await becomesAnother(since)
    expect(await lab.client.facts()).toMatchObject({ mounts: 0, layers: 0 })
    expect(lab.mounts()).toEqual([join(lab.dir, 'm.d/files')])
    await lab.mount(image, second)
    expect(readdirSync(join(second, 'files'))).toHaveLength(80)
    expect(await read(join(second, 'files/62'))).toBe(sum(62))
    await lab.client.unmount(second)
    expect(lab.mounts()).toEqual([join(lab.dir, 'm.d/files')])
  }, 60_000)

  test(
    'many at once, again and again, leave nothing',
    async () => {
      const dirs = Array.from({ length: crowd }, (_, i) => lab.folder(`many-${i}`))
      const round = async () => {
        await Promise.all(dirs.map((dir) => lab.mount(image, dir)))
        expect(await lab.client.facts()).toMatchObject({ mounts: crowd, layers: 2 })
        await Promise.all(dirs.map((dir) => lab.client.unmount(dir)))
        await until('children have ended', 15, async () => {
          const { stdout } = await tryRun(['pgrep', '-P', String(lab.mounter.pid)])
          return stdout === ''
        })
      }
      await round()
      const before = { descriptors: descriptors(lab.mounter.pid), bytes: memory(lab.mounter.pid) }
      for (let i = 1; i < rounds; i++) await round()
      const after = { descriptors: descriptors(lab.mounter.pid), bytes: memory(lab.mounter.pid) }
      if (rounds > 2) console.log(`${rounds} rounds of ${crowd} mounts at once`, { before, after })
      // Connections of this test's own come and go; what mounts leak is one for each at least.
      expect(after.descriptors).toBeLessThan(before.descriptors + crowd / 2)
      // What a runtime keeps for itself; a mount that leaked would cost more, many times.
      expect(after.bytes).toBeLessThan(before.bytes + 64 * 1024 * 1024)
      expect(lab.mounts()).toEqual([join(lab.dir, 'm.d/files')])
    },
    30_000 * rounds,
  )

  test('of a mounter that is killed gives errors at once, and the next mounter takes it away', async () => {
    lab.set('cold')
    const dir = lab.folder('killed')
    await lab.mount(image, dir)
    lab.set('held')
    const pending = read(join(dir, 'files/70'))
    await until('a read waits', 10, async () => (await lab.client.facts()).reads.waiting > 0)
    await lab.mounter.kill()
    expect(await pending).toMatch(/Input\/output error|not connected|connection abort/)
    expect(await read(join(dir, 'files/71'))).toMatch(/Input\/output error|not connected/)
    lab.set('held', false)
    lab.set('cold', false)
    await lab.restart()
    expect(await lab.client.mounts()).toEqual([])
    expect(lab.mounts()).toEqual([join(lab.dir, 'm.d/files')])
    await lab.mount(image, dir)
    expect(await read(join(dir, 'files/70'))).toBe(sum(70))
    await lab.client.unmount(dir)
  }, 40_000)

  test('whose layers are all here outlives its mounter, and is the next one’s', async () => {
    const early = lab.folder('early')
    await lab.mount(image, early)
    lab.set('complete')
    const dir = lab.folder('complete')
    await lab.mount(image, dir, { rw: true })
    expect(await lab.client.layers()).toHaveLength(4)
    await lab.mounter.kill()
    // What was mounted while it arrived is read through the mounter.
    expect(await read(join(early, 'files/74'))).toMatch(/Input\/output error|not connected/)
    expect(await read(join(dir, 'files/75'))).toBe(sum(75))
    writeFileSync(join(dir, 'written'), 'kept')
    await lab.restart()
    expect((await lab.client.mounts()).map((mount) => mount.dir)).toEqual([dir])
    expect(readFileSync(join(dir, 'written'), 'utf8')).toBe('kept')
    await lab.client.unmount(dir)
    lab.set('complete', false)
    expect(lab.mounts()).toEqual([join(lab.dir, 'm.d/files')])
  }, 30_000)

  test('that nobody knows any more keeps what was written to it, and is unmounted as any other', async () => {
    lab.set('complete')
    const dir = lab.folder('unknown')
    await lab.mount(image, dir, { rw: true })
    writeFileSync(join(dir, 'written'), 'kept')
    await lab.mounter.kill()
    writeFileSync(join(lab.dir, 'data/state.json'), 'broken')
    await lab.restart()
    expect(readFileSync(join(dir, 'written'), 'utf8')).toBe('kept')
    writeFileSync(join(dir, 'more'), 'kept')
    expect(await lab.client.mounts()).toEqual([])
    expect(lab.log()).toContain(`shoal umount ${dir}`)
    await lab.client.unmount(dir)
    expect(lab.mounts()).toEqual([join(lab.dir, 'm.d/files')])
    await lab.mounter.stop()
    await lab.restart()
    await until('it is gone', 30, async () => readdirSync(join(lab.dir, 'data/writable')).length === 0)
    lab.set('complete', false)
  }, 40_000)

  test('never has bytes of another one that was forgotten in an upgrade', async () => {
    const one = lab.folder('forgotten')
    const two = lab.folder('fresh')
    const other = (i: number) => Buffer.alloc(size, `other ${i} `)
    const names = ['files/65', 'files/66']
    const first = await lab.image('lab/one', [names.map((name, i) => ({ name, mode: 0o644, data: content(65 + i) }))])
    const second = await lab.image('lab/two', [names.map((name, i) => ({ name, mode: 0o644, data: other(65 + i) }))])
    await lab.mount(first, one)
    expect(await read(join(one, names[0]!))).toBe(sum(65))
    const { since } = await lab.client.facts()
    lab.set('broken-state')
    await lab.client.upgrade()
    await becomesAnother(since)
    lab.set('broken-state', false)
    await lab.mount(second, two)
    for (const [i, name] of names.entries()) expect(readFileSync(join(two, name)).equals(other(65 + i))).toBe(true)
    expect(await read(join(one, names[1]!))).toMatch(/Input\/output error|not connected/)
    for (const dir of [one, two]) await lab.client.unmount(dir)
    expect(lab.mounts()).toEqual([join(lab.dir, 'm.d/files')])
  }, 40_000)

  test('is not taken for one that somebody else has mounted there since', async () => {
    const dir = lab.folder('theirs')
    await lab.mount(image, dir)
    await lab.mounter.kill()
    // As a restart of the host leaves it: the file that says what was mounted, and no mount.
    for (const target of lab.mounts().reverse()) await run(['umount', '-l', target])
    writeFileSync(join(lab.folder('lower'), 'file'), 'theirs')
    const options = `lowerdir=${lab.folder('lower')},upperdir=${lab.folder('upper')},workdir=${lab.folder('work')}`
    await run(['mount', '-t', 'overlay', 'overlay', '-o', options, dir])
    await lab.restart()
    expect(readFileSync(join(dir, 'file'), 'utf8')).toBe('theirs')
    expect(await lab.client.mounts()).toEqual([])
    await run(['umount', dir])
    expect(lab.mounts()).toEqual([join(lab.dir, 'm.d/files')])
  }, 30_000)

  test('has one mounter: another for the same place ends, and the first goes on', async () => {
    const other = lab.spawn()
    expect(await other.exited).toBe(3)
    expect((await lab.client.facts()).pid).toBe(lab.mounter.pid)
  }, 20_000)
})

describe.skipIf(obstacle !== undefined)('a mounter with nothing to do', () => {
  test('ends, and leaves no mount', async () => {
    const lab = await MountLab.start({ idleMs: 3000 })
    try {
      const image = await lab.image('lab/app', [top])
      const dir = lab.folder('one')
      await lab.mount(image, dir)
      await Bun.sleep(4200)
      expect(lab.mounter.running).toBe(true)
      await lab.client.unmount(dir)
      expect(await lab.mounter.exited).toBe(0)
      expect(lab.mounts()).toEqual([])
    } finally {
      await lab.close()
    }
  }, 30_000)

  test('a read that gets no bytes ends in an error by its deadline', async () => {
    const lab = await MountLab.start({ readDeadlineMs: 1000 })
    try {
      lab.set('cold')
      const image = await lab.image('lab/app', [[{ name: 'file', mode: 0o644, data: content(1) }]])
      const dir = lab.folder('one')
      await lab.mount(image, dir)
      lab.set('held')
      // The kernel asks for many parts of it; that each of them is late makes nobody wait for longer.
      expect(await read(join(dir, 'file'), 10)).toContain('Input/output error')
      lab.set('held', false)
      await until('it is read again', 10, async () => (await read(join(dir, 'file'))) === sum(1))
      await lab.client.unmount(dir)
    } finally {
      await lab.close()
    }
  }, 30_000)
})
