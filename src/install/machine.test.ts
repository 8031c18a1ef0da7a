import { afterEach, beforeEach, expect, describe as suite, test } from 'bun:test'
import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { intoPlace } from '../aside.ts'
import { machineAt } from './machine.ts'

let root: string
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'shoal-machine-'))
})
afterEach(() => rmSync(root, { recursive: true, force: true }))

suite('a folder that is shut to the service', () => {
  test('is seen with its mode, and gets the one that lets it in', () => {
    mkdirSync(join(root, 'etc/shoal'), { recursive: true })
    chmodSync(join(root, 'etc/shoal'), 0o700)
    const gid = process.getgid!()
    writeFileSync(join(root, 'etc/passwd'), `root:x:0:0:::\nshoal:x:990:${gid}:::\n`)
    const machine = machineAt(root)
    expect(machine.folder('/etc/shoal')).toMatchObject({ mode: 0o700 })
    expect(machine.folder('/etc/none')).toBeUndefined()
    machine.carryOut({ do: 'let-in', path: '/etc/shoal', mode: 0o710, group: 'shoal' })
    expect(statSync(join(root, 'etc/shoal')).mode & 0o7777).toBe(0o710)
    expect(machine.folder('/etc/shoal')).toMatchObject({ mode: 0o710, gid })
  })
})

suite.skipIf(process.getuid!() !== 0)('the data directory of the service', () => {
  const ids = (path: string) => {
    const { uid, gid } = lstatSync(join(root, path))
    return [uid, gid]
  }
  const carriedOut = (path: string) => {
    mkdirSync(join(root, 'etc'))
    writeFileSync(join(root, 'etc/passwd'), 'shoal:x:990:991:::\n')
    machineAt(root).carryOut({ do: 'directory', path, owner: 'shoal' })
  }

  test('is its own, with all that a node of another user has left there, and nothing else', () => {
    mkdirSync(join(root, 'data/blobs/.trash'), { recursive: true })
    mkdirSync(join(root, 'data/photos/blobs'), { recursive: true })
    mkdirSync(join(root, 'elsewhere/blobs'), { recursive: true })
    const own = ['shoal.lock', 'shoal.db-wal', 'node.key', 'blobs/a', 'blobs/.trash/b']
    const foreign = ['photo.jpg', 'photos/blobs/c', 'shoals.txt', '../elsewhere/d', '../elsewhere/blobs/e']
    for (const path of [...own, ...foreign]) writeFileSync(join(root, 'data', path), '')
    symlinkSync('../../elsewhere', join(root, 'data/blobs/link'))
    symlinkSync('../elsewhere/d', join(root, 'data/shoal.spare'))
    carriedOut('/data')
    const given = ['', 'blobs', 'blobs/.trash', 'blobs/link', 'shoal.spare', ...own]
    expect(given.filter((path) => ids(join('data', path)).join() !== '990,991')).toEqual([])
    expect(foreign.filter((path) => ids(join('data', path)).join() !== '0,0')).toEqual([])
    expect(ids('elsewhere/blobs')).toEqual([0, 0])
  })

  test('can be entered by it, whatever the umask of the shell is, and by nobody else', () => {
    mkdirSync(join(root, 'disk'), { mode: 0o751 })
    const umask = process.umask(0o077)
    try {
      carriedOut('/disk/shoal/images/store')
    } finally {
      process.umask(umask)
    }
    const modes = ['disk', 'disk/shoal', 'disk/shoal/images', 'disk/shoal/images/store'].map(
      (path) => statSync(join(root, path)).mode & 0o7777,
    )
    expect(modes).toEqual([0o751, 0o755, 0o755, 0o700])
    expect([ids('disk/shoal/images'), ids('disk/shoal/images/store')]).toEqual([
      [0, 0],
      [990, 991],
    ])
  })
})

suite.skipIf(process.getuid!() !== 0)('what stays of a user that goes', () => {
  test.each([
    ['a secret that it could read', { mode: 0o640, uid: 0, gid: 991 }, { mode: 0o640, uid: 0, gid: 0 }],
    ['a folder of its own', { mode: 0o755, uid: 990, gid: 991 }, { mode: 0o755, uid: 0, gid: 0 }],
    ["somebody else's", { mode: 0o664, uid: 5, gid: 6 }, { mode: 0o664, uid: 5, gid: 6 }],
  ])('%s is none of the next one who gets its numbers', (_, { mode, uid, gid }, after) => {
    mkdirSync(join(root, 'etc'))
    writeFileSync(join(root, 'etc/passwd'), 'shoal:x:990:991:::\n')
    writeFileSync(join(root, 'f'), '')
    chownSync(join(root, 'f'), uid, gid)
    chmodSync(join(root, 'f'), mode)
    const machine = machineAt(root)
    machine.carryOut({ do: 'disown', path: '/f', user: 'shoal' })
    expect(machine.folder('/f')).toEqual(after)
    machine.carryOut({ do: 'disown', path: '/gone', user: 'shoal' })
  })
})

test('the node of a data directory is a process that was started as one, and no other that has its number now', () => {
  mkdirSync(join(root, 'data'))
  const machine = machineAt(root)
  expect(machine.nodeOn('/data')).toBeUndefined()
  const children = ['up', 'get'].map((word) =>
    Bun.spawn([process.execPath, '-e', 'setInterval(() => {}, 1000)', word], { stdio: ['ignore', 'ignore', 'ignore'] }),
  )
  try {
    const found = children.map(({ pid }) => {
      writeFileSync(join(root, 'data/shoal.pid'), `${pid}\n`)
      return machine.nodeOn('/data')
    })
    expect(found).toEqual([children[0]!.pid, undefined])
  } finally {
    for (const child of children) child.kill('SIGKILL')
  }
})

suite('what is put in its place', () => {
  const gid = process.getgid!()
  // Only root can give a file away.
  const asRoot = process.getuid!() === 0
  const group = asRoot ? { group: 'shoal' } : {}
  const secret = asRoot ? { mode: 0o640, gid: 990 } : { mode: 0o600, gid }
  const made = (path: string) => {
    const { mode, gid, size } = statSync(path)
    return { mode: mode & 0o7777, gid, size }
  }

  test.each([
    ['the binary', { do: 'binary', path: '/f' }, { mode: 0o755, gid, size: statSync('/proc/self/exe').size }],
    ['a text', { do: 'write', path: '/f', text: 'abc' }, { mode: 0o644, gid, size: 3 }],
    ['a secret', { do: 'copy', from: 'secret', path: '/f', ...group }, { ...secret, size: 4 }],
  ] as const)('%s is there whole, with its mode and group, and on the disk before its name is', (_, step, as) => {
    const from = join(root, 'secret')
    writeFileSync(from, 'abcd')
    mkdirSync(join(root, 'etc'))
    writeFileSync(join(root, 'etc/passwd'), 'shoal:x:990:990:::\n')
    const placed: unknown[] = []
    const seen = (aside: string, path: string) => {
      placed.push([made(aside), path])
      intoPlace(aside, path)
    }
    const machine = machineAt(root, { intoPlace: seen, now: Date.now })
    machine.carryOut(step.do === 'copy' ? { ...step, from } : step)
    expect(placed).toEqual([[as, join(root, 'f')]])
    expect(made(join(root, 'f'))).toEqual(as)
    expect(readdirSync(root).filter((name) => name.includes('shoal-'))).toEqual([])
  })

  test('is not there when that fails, nor anything beside it', () => {
    const full = () => {
      throw new Error('no space left')
    }
    const machine = machineAt(root, { intoPlace: full, now: Date.now })
    expect(() => machine.carryOut({ do: 'write', path: '/f', text: 'abc' })).toThrow('no space left')
    expect(readdirSync(root)).toEqual([])
  })

  test('takes the place of what a run that was killed left beside it', () => {
    writeFileSync(join(root, '.f.shoal-7'), 'half')
    const machine = machineAt(root, { intoPlace, now: () => Date.now() + 2 * 3_600_000 })
    machine.carryOut({ do: 'write', path: '/f', text: 'abc' })
    expect(readdirSync(root)).toEqual(['f'])
  })
})
