/** Disk stores in directories that go away after each test, or after all. Called once at the top of a test file. */
import { afterAll, afterEach } from 'bun:test'
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DiskStore, type DiskStoreOptions } from '../../src/store/disk-store.ts'
import { type Log, silentLog } from '../../src/telemetry/log.ts'
import { FakeClock } from './clock.ts'

export function diskStores({ each = true } = {}) {
  const cleanups: (() => Promise<void> | void)[] = []
  const after = each ? afterEach : afterAll
  after(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
  })

  const newDir = (): string => {
    const dir = mkdtempSync(join(tmpdir(), 'shoal-store-'))
    cleanups.push(() => rmSync(dir, { recursive: true, force: true }))
    return dir
  }

  const openStore = async (dir = newDir(), options: Partial<DiskStoreOptions> = {}): Promise<DiskStore> => {
    const store = await DiskStore.open({ dir, clock: new FakeClock(), log: silentLog, bootId: 'one', ...options })
    cleanups.push(() => store.close())
    return store
  }

  /** The directory as it is at this moment: what a process that is killed now leaves behind. */
  const killedNow = (dir: string): string => {
    const copy = newDir()
    cpSync(dir, copy, { recursive: true, preserveTimestamps: true })
    return copy
  }

  return { newDir, openStore, killedNow }
}

/** A log to look into: each line is the message and the fields as JSON. */
export function notingLog(): { log: Log; lines: string[] } {
  const lines: string[] = []
  const note = (message: string, fields?: object) => lines.push(`${message} ${JSON.stringify(fields ?? {})}`)
  const log: Log = { debug() {}, info: note, warn: note, error: note, child: () => log }
  return { log, lines }
}

/** What a promise was rejected with; empty if it was not. */
export function messageOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => '',
    (error: Error) => error.message,
  )
}
