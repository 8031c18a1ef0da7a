import { afterEach, beforeEach, expect, test } from 'bun:test'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SnapshotterClient } from '../../test/lab/snapshots-client.ts'
import { until } from '../../test/lab/until.ts'
import { systemClock } from '../clock.ts'
import { silentLog } from '../telemetry/log.ts'
import { realDisk } from './folders.ts'
import { type Snapshotter, startSnapshotter } from './snapshotter.ts'

let dir: string
let snapshotter: Snapshotter | undefined

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'shoal-snapshotter-'))
})
afterEach(async () => {
  await snapshotter?.close()
  rmSync(dir, { recursive: true })
})

const folders = () => readdirSync(join(dir, 'data/snapshots'))
const make = (...names: string[]) => {
  for (const name of names) mkdirSync(join(dir, 'data/snapshots', name, 'fs'), { recursive: true })
}

/** Without a mounter and without containerd. */
const start = (disk = realDisk) =>
  startSnapshotter(
    {
      socket: join(dir, 's.sock'),
      dataDir: join(dir, 'data'),
      mounter: join(dir, 'no-mounter.sock'),
      containerd: join(dir, 'no-containerd.sock'),
      node: 'http://127.0.0.1:9',
      indexWaitMs: 0,
    },
    silentLog,
    systemClock,
    disk,
  )

test('it serves before what earlier snapshots left is removed, and none of that is in the way of new ones', async () => {
  make('gone-1-x', 'new-abc', '7')
  const asked: string[] = []
  const remove = (path: string) => {
    asked.push(path)
    return new Promise<void>(() => {})
  }
  snapshotter = await start({ ...realDisk, remove })
  const client = new SnapshotterClient(join(dir, 's.sock'), join(dir, 'mounted'))
  try {
    expect(await client.prepare('one')).toHaveLength(1)
    expect(folders().toSorted()).toEqual([
      '1',
      'gone-1-x',
      expect.stringMatching(/^gone-7-/),
      expect.stringMatching(/^gone-new-abc-/),
    ])
    expect(asked).toHaveLength(1)
  } finally {
    client.close()
  }
})

test('what earlier snapshots left is removed without a mounter too', async () => {
  make('gone-1-x', 'new-abc', '7')
  snapshotter = await start()
  await until('it is removed', 10, async () => folders().length === 0)
  expect(existsSync(join(dir, 's.sock'))).toBe(true)
})
