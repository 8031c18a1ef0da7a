import { describe, expect, test } from 'bun:test'
import {
  chmodSync,
  chownSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FakeContext } from '../../test/fakes/context.ts'
import { buildInfo } from '../build-info.ts'
import { parseClusterKeys } from '../cluster/cluster-key.ts'
import { flagOf, names } from '../config/table.ts'
import { run } from './program.ts'

async function ran(...args: string[]) {
  const context = new FakeContext()
  const code = await run(args, context)
  return { code, out: context.printed.join('\n'), err: context.complained.join('\n'), context }
}

describe('wrong usage is exit code 2, one answer, and nothing started', () => {
  const lists = 'shoal up --help lists its flags'
  const cases: [string[], string][] = [
    [['upp'], "shoal: unknown command 'upp'\n(Did you mean up?)\nshoal --help lists the commands"],
    [['frobnicate'], "shoal: unknown command 'frobnicate'\nshoal --help lists the commands"],
    [['--jsn'], "shoal: unknown option '--jsn'\nshoal --help lists the commands"],
    [['up', '--tag-tt', '3s'], `shoal: unknown option '--tag-tt'\n(Did you mean --tag-ttl?)\n${lists}`],
    [['up', '--zone'], `shoal: option '--zone <zone>' argument missing\n${lists}`],
    [['up', 'now'], `shoal: too many arguments for 'up'. Expected 0 arguments but got 1: now.\n${lists}`],
    [
      ['version', '--jsno'],
      "shoal: unknown option '--jsno'\n(Did you mean --json?)\nshoal version --help lists its flags",
    ],
    [['up', '--log-level', 'loud'], 'shoal: --log-level "loud": expected debug, info, warn or error'],
    [
      ['up', '--zone', 'a b', '--mode', 'x'],
      'shoal: --mode "x": expected all, peer, seed or scheduler\n' +
        'shoal: --zone "a b": expected region/zone/rack, or the first one or two of them',
    ],
    [
      ['status', '--admin-addr', 'x'],
      'shoal: --admin-addr "x": expected an address such as 127.0.0.1:4880, [::1]:4880 or localhost:0 (0: any free port)',
    ],
    [['status', '--token-file', '/none'], 'shoal: --token-file "/none": there is no such file'],
  ]
  test.each(cases)('shoal %j', async (args, answer) => {
    const { code, out, err, context } = await ran(...args)
    expect({ code, out, err }).toEqual({ code: 2, out: '', err: answer })
    expect(context.started).toEqual([])
  })

  test('no command at all: help on standard error', async () => {
    const { code, out, err } = await ran()
    expect({ code, out }).toEqual({ code: 2, out: '' })
    expect(err).toContain('Usage: shoal [options] [command]')
  })
})

test('help is exit code 0 and names every flag with its default', async () => {
  for (const args of [
    ['up', '--help'],
    ['help', 'up'],
  ]) {
    const { code, out, err } = await ran(...args)
    expect({ code, err }).toEqual({ code: 0, err: '' })
    for (const name of names) expect(out).toContain(`  ${flagOf(name)} `)
    expect(out).toContain('--no-mdns')
    expect(out.replace(/\s+/g, ' ')).toContain('how long a resolved tag is believed (default: 60s)')
  }
})

test('version tells what was built, as text and as JSON', async () => {
  expect((await ran('version')).out).toStartWith(`shoal ${buildInfo.version}, commit `)
  expect(JSON.parse((await ran('version', '--json')).out)).toEqual({ ...buildInfo })
  expect(await ran('--version')).toMatchObject({ code: 0, out: buildInfo.version })
})

describe('keygen', () => {
  test('prints a key that nodes accept, another one each time', async () => {
    const keys = await Promise.all([ran('keygen'), ran('keygen')])
    const [first, second] = keys.map(({ out }) => parseClusterKeys(out, 'keygen')[0]?.fingerprint)
    expect(first).not.toBe(second)
  })

  test('changes the key of a file in three steps, and says what to do after each', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'shoal-keygen-'))
    const file = join(dir, 'cluster.key')
    try {
      await ran('keygen', '--output', file)
      const [old] = parseClusterKeys(readFileSync(file, 'utf8'), file)
      const said: string[] = []
      for (let i = 0; i < 3; i++) said.push((await ran('keygen', '--rotate', file)).out)
      expect(said.map((text) => text.split(': ')[0])).toEqual(['step 1 of 3', 'step 2 of 3', 'step 3 of 3'])
      const [key, ...more] = parseClusterKeys(readFileSync(file, 'utf8'), file)
      expect([more.length, key?.fingerprint === old?.fingerprint]).toEqual([0, false])
      expect(statSync(file).mode & 0o777).toBe(0o600)
    } finally {
      rmSync(dir, { recursive: true })
    }
  })

  test('leaves a file that it changes to whom it was for, and closes it to others', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'shoal-keygen-'))
    const file = join(dir, 'cluster.key')
    try {
      await ran('keygen', '--output', file)
      chmodSync(file, 0o666)
      // As a service that is not root is given it.
      const gid = process.getuid?.() === 0 ? 12345 : process.getgid!()
      chownSync(file, process.getuid!(), gid)
      expect((await ran('keygen', '--rotate', file)).code).toBe(0)
      const after = statSync(file)
      expect([after.mode & 0o777, after.gid]).toEqual([0o640, gid])
      expect(readdirSync(dir)).toEqual(['cluster.key'])
    } finally {
      rmSync(dir, { recursive: true })
    }
  })

  test('changes the key that a link leads to, and is told of nothing but files', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'shoal-keygen-'))
    const [file, link] = [join(dir, 'cluster.key'), join(dir, 'link')]
    try {
      await ran('keygen', '--output', file)
      symlinkSync('cluster.key', link)
      expect((await ran('keygen', '--rotate', link)).out).toStartWith('step 1 of 3')
      expect(readlinkSync(link)).toBe('cluster.key')
      expect((await ran('keygen', '--rotate', file)).out).toStartWith('step 2 of 3')
      expect(await ran('keygen', '--rotate', dir)).toMatchObject({
        code: 1,
        err: `shoal: ${dir} is no file; name the one that nodes have as --cluster-key-file`,
      })
    } finally {
      rmSync(dir, { recursive: true })
    }
  })

  test('writes a file for this user alone, and never over another', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'shoal-keygen-'))
    const file = join(dir, 'cluster.key')
    try {
      expect(await ran('keygen', '--output', file)).toMatchObject({ code: 0, out: '', err: '' })
      const key = readFileSync(file, 'utf8')
      expect(statSync(file).mode & 0o777).toBe(0o600)
      expect(() => parseClusterKeys(key, file)).not.toThrow()
      const again = await ran('keygen', '-o', file)
      expect(again.code).toBe(1)
      expect(again.err).toStartWith(`shoal: ${file} is there already`)
      expect(readFileSync(file, 'utf8')).toBe(key)
    } finally {
      rmSync(dir, { recursive: true })
    }
  })
})
