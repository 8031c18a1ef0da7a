/** Where the state of a node can be, in folders that go away after each test. Called once at the top of a test file. */
import { afterEach } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export function stateFiles(): () => string {
  const folders: string[] = []
  afterEach(() => {
    for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
  })
  return () => {
    const folder = mkdtempSync(join(tmpdir(), 'shoal-state-'))
    folders.push(folder)
    return join(folder, 'state.db')
  }
}
