import { describe, expect, test } from 'bun:test'
import { chownSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FakeContext } from '../../test/fakes/context.ts'
import { notRoot } from '../../test/fakes/root.ts'
import { places } from '../install/places.ts'
import type { StartedNode } from './context.ts'
import { run } from './program.ts'
import { drainMs } from './up.ts'

/** A node whose drain and end are in the test's hands. */
class Node implements StartedNode {
  readonly reasons: string[] = []
  readonly drained = Promise.withResolvers<void>()

  summary(): string[] {
    return ['mirror on 127.0.0.1:4880', 'no other nodes yet']
  }
  close(reason: string): Promise<void> {
    this.reasons.push(reason)
    return this.drained.promise
  }
}

function upWith(args: string[] = []) {
  const context = new FakeContext()
  const node = new Node()
  context.node = () => Promise.resolve(node)
  return { context, node, code: run(['up', ...args], context) }
}

test.skipIf(notRoot)(
  'root is not let put files into the folder of the service, which could not open them',
  async () => {
    const dir = mkdtempSync(join(tmpdir(), 'shoal-up-'))
    const service = { [places.unit]: '', [places.users]: 'root:x:0:0::/root:/bin/sh\nshoal:x:12345:12345::/:/bin/no\n' }
    const up = async (files: Record<string, string>, state?: string) => {
      const context = Object.assign(new FakeContext(), { files })
      Object.assign(context.host, state === undefined ? {} : { service: { state } })
      context.endNodes()
      return [await run(['up', '--data-dir', dir], context), ...context.complained]
    }
    try {
      expect(await up(service)).toEqual([0])
      chownSync(dir, 12345, 12345)
      expect(await up(service)).toEqual([
        1,
        `shoal: ${dir} is the service's, which cannot open what root leaves there: systemctl start shoal, or choose another --data-dir`,
      ])
      // A service that a drop-in runs as root, and a host without one.
      expect(await up(service, '/var/lib/shoal')).toEqual([0])
      expect(await up({ [places.users]: service[places.users]! })).toEqual([0])
      chownSync(dir, 12346, 12346)
      expect(await up(service)).toEqual([0])
    } finally {
      rmSync(dir, { recursive: true })
    }
  },
)

const settled = () => new Promise((resolve) => setImmediate(resolve))

describe('a node that was started', () => {
  test('has the settings of the command line, and says where it is', async () => {
    const { context, node, code } = upWith([
      '--mode',
      'peer',
      '--no-mdns',
      '--join',
      'a',
      '--join',
      'b,c',
      '--zone',
      'eu',
    ])
    await settled()
    expect(context.started[0]).toMatchObject({
      node: { modes: ['peer'], zone: 'eu' },
      p2p: { mdns: false, join: ['/dns/a/tcp/4882', '/dns/b/tcp/4882', '/dns/c/tcp/4882'] },
    })
    expect(context.printed).toEqual(['mirror on 127.0.0.1:4880', 'no other nodes yet'])
    context.signal('SIGTERM')
    node.drained.resolve()
    expect(await code).toBe(0)
  })

  test('is given the settings as they are when it is told to read them again, and what changed', async () => {
    const context = new FakeContext()
    const seen: unknown[] = []
    const node = Object.assign(new Node(), { reload: (read: () => unknown) => void seen.push(read()) })
    context.node = () => Promise.resolve(node)
    context.files['/s.yaml'] = 'zone: eu/a\n'
    const code = run(['up', '--config', '/s.yaml'], context)
    await settled()
    context.files['/s.yaml'] = 'zone: eu/a\nupstream: [r.io=http://r:5000]\ntag-ttl: 5m\n'
    context.reload()
    expect(seen).toMatchObject([
      { settings: { source: { tagTtlMs: 300_000 } }, changes: { now: ['upstream'], atNextStart: ['tag-ttl'] } },
    ])
    context.signal('SIGTERM')
    node.drained.resolve()
    expect(await code).toBe(0)
  })

  test('is told of a change once where it counts at once, and as long as it wants a restart', async () => {
    const context = new FakeContext()
    const seen: unknown[] = []
    const node = Object.assign(new Node(), {
      reload: (read: () => { changes: unknown }) => void seen.push(read().changes),
    })
    context.node = () => Promise.resolve(node)
    context.files['/token'] = 'correct-horse-battery'
    context.files['/ca.pem'] = 'one'
    const code = run(['up', '--admin-token-file', '/token', '--ca-file', '/ca.pem'], context)
    await settled()
    context.files['/token'] = 'staple-correct-horse'
    context.files['/ca.pem'] = 'another'
    context.reload()
    context.reload()
    expect(seen).toEqual([
      { now: ['admin-token-file'], atNextStart: ['ca-file'] },
      { now: [], atNextStart: ['ca-file'] },
    ])
    context.signal('SIGTERM')
    node.drained.resolve()
    expect(await code).toBe(0)
  })

  test('puts no sentences among JSON logs', async () => {
    const { context, node, code } = upWith(['--log-format', 'json'])
    await settled()
    context.signal('SIGTERM')
    node.drained.resolve()
    expect(await code).toBe(0)
    expect([...context.printed, ...context.complained]).toEqual([])
  })

  test('says which file its settings came from', async () => {
    const context = new FakeContext()
    const node = new Node()
    context.node = () => Promise.resolve(node)
    context.files = { '/etc/shoal/shoal.yaml': 'zone: eu' }
    const code = run(['up'], context)
    await settled()
    context.signal('SIGTERM')
    node.drained.resolve()
    expect(await code).toBe(0)
    expect(context.printed[0]).toBe('settings from /etc/shoal/shoal.yaml')
    expect(context.started[0]?.node.zone).toBe('eu')
  })

  test('is drained by the first signal, and then the exit code is 0', async () => {
    const { context, node, code } = upWith()
    await settled()
    context.signal('SIGTERM')
    await settled()
    expect(node.reasons).toEqual(['SIGTERM'])
    expect(context.listening).toBe(true)
    node.drained.resolve()
    expect(await code).toBe(0)
    expect(context.listening).toBe(false)
    expect(context.clock.pending).toBe(0)
  })

  test('is ended at once by the second signal', async () => {
    const { context, code } = upWith()
    await settled()
    context.signal('SIGINT')
    await settled()
    context.signal('SIGINT')
    expect(await code).toBe(1)
    expect(context.complained.at(-1)).toBe(
      'shoal: SIGINT came a second time; ended without finishing what was under way',
    )
  })

  test('is not waited for longer than a service manager would', async () => {
    const { context, code } = upWith()
    await settled()
    context.signal('SIGTERM')
    await settled()
    context.clock.advance(drainMs)
    expect(await code).toBe(1)
    expect(context.complained.at(-1)).toBe('shoal: not everything had finished after 30 s; ended nevertheless')
  })
})

describe('a start that fails is one line with the remedy', () => {
  const system = (code: string, path?: string) =>
    Object.assign(new Error(`${code}: failed, mkdir '${path}'`), { code, ...(path ? { path } : {}) })
  const cases: [string, Error, string][] = [
    [
      'port in use',
      new Error('127.0.0.1:4880 (--registry-addr) is in use'),
      '127.0.0.1:4880 (--registry-addr) is in use',
    ],
    ['several lines', new Error('two\nlines'), 'two lines'],
    [
      'EACCES',
      system('EACCES', '/var/lib/shoal'),
      'this user may not use /var/lib/shoal; run as root, change who owns it, or choose another place with --data-dir',
    ],
    [
      'EROFS',
      system('EROFS', '/x'),
      '/x is on a read-only file system; make that writable, or choose another place with --data-dir',
    ],
    [
      'ENOTDIR',
      system('ENOTDIR', '/a/b'),
      '/a/b cannot be made: part of the path is a file; choose another --data-dir',
    ],
    [
      'ENOSPC',
      system('ENOSPC', '/a'),
      'there is no space left for /a; free some, or choose another place with --data-dir',
    ],
  ]
  test.each(cases)('%s', async (_, error, answer) => {
    const context = new FakeContext()
    context.node = () => Promise.reject(error)
    expect(await run(['up'], context)).toBe(1)
    expect(context.complained).toEqual([`shoal: ${answer}`])
    expect(context.listening).toBe(false)
  })

  test('and at debug level also where it came from', async () => {
    const context = new FakeContext()
    context.node = () => Promise.reject(new Error('odd'))
    expect(await run(['up', '--log-level', 'debug'], context)).toBe(1)
    expect(context.complained[0]).toBe('shoal: odd')
    expect(context.complained[1]).toContain('up.test.ts')
  })
})

test('a signal that the start heeds ends it, and then the exit code is 0', async () => {
  const context = new FakeContext()
  context.node = (ending) =>
    new Promise((_, reject) => ending.addEventListener('abort', () => reject(ending.reason), { once: true }))
  const code = run(['up'], context)
  await settled()
  context.signal('SIGTERM')
  expect(await code).toBe(0)
  expect(context.complained).toEqual([])
  expect(context.listening).toBe(false)
})

test('a signal while the node still starts is heeded as soon as it has started', async () => {
  const context = new FakeContext()
  const node = new Node()
  const started = Promise.withResolvers<StartedNode>()
  context.node = () => started.promise
  const code = run(['up'], context)
  await settled()
  context.signal('SIGTERM')
  started.resolve(node)
  node.drained.resolve()
  expect(await code).toBe(0)
  expect(node.reasons).toEqual(['SIGTERM'])
})
