/** Binaries of earlier commits, to be run beside the present one. */
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { scratchRoot } from './lab.ts'
import { run, tryRun } from './run.ts'

const root = join(import.meta.dir, '..', '..')

/** Of 21 November 2026, before its first day was over: what it says and stores every later release has to understand. */
export const oldestRelease = '22eab07a3164aaad49180ea60263536bb8d2643d'

/** Undefined where that commit can be built here, else why not. */
export async function historyObstacle(commit: string): Promise<string | undefined> {
  const { code } = await tryRun(['git', '-C', root, 'cat-file', '-e', `${commit}^{commit}`])
  return code === 0 ? undefined : `this clone has no commit ${commit}`
}

/** Its path; built in a work tree of its own, and kept beside the present one. */
export async function binaryOf(commit: string): Promise<string> {
  const path = join(root, 'dist', `shoal-at-${commit}`)
  if (existsSync(path)) return path
  mkdirSync(dirname(path), { recursive: true })
  const folder = mkdtempSync(join(scratchRoot, 'shoal-old-'))
  const tree = join(folder, 'tree')
  try {
    await run(['git', '-C', root, 'worktree', 'add', '--quiet', '--detach', tree, commit])
    await run([join(tree, 'scripts', 'build')])
    const made = `${path}.${process.pid}`
    await run(['cp', join(tree, 'dist', 'shoal'), made])
    renameSync(made, path)
  } finally {
    await tryRun(['git', '-C', root, 'worktree', 'remove', '--force', tree])
    rmSync(folder, { recursive: true, force: true })
  }
  return path
}
