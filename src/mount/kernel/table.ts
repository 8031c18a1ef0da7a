/** The mounts of this process's namespace, from /proc/self/mountinfo; reading it touches none of them. */
import { readFileSync } from 'node:fs'
import { ourSource } from './overlay.ts'

export interface MountEntry {
  /** No other mount that is there has it. */
  readonly id: string
  readonly target: string
  readonly type: string
  readonly source: string
  /** Those of the file system itself, with commas between them. */
  readonly options: string
}

/** Oldest first. */
export function mountTable(text = readFileSync('/proc/self/mountinfo', 'utf8')): MountEntry[] {
  return text.split('\n').flatMap((line) => {
    // 36 35 98:0 /root /target options optional... - type source superoptions; proc(5)
    const [before = '', after = ''] = line.split(' - ')
    const [id = '', , , , target] = before.split(' ')
    const [type, source, options = ''] = after.split(' ')
    return target && type && source ? [{ id, target: unescaped(target), type, source: unescaped(source), options }] : []
  })
}

/** Spaces, tabs, newlines and backslashes are written in octal. */
function unescaped(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))
}

/**
 * Ours: by where they are; elsewhere by the source too, for after a restart of the host somebody else may have mounted an
 * overlay where we had one. The latest first, as they are to be unmounted: what somebody else has mounted over ours is in the
 * way of that.
 */
export function ourMounts(table: readonly MountEntry[], below: string, dirs: ReadonlySet<string>): MountEntry[] {
  const hidden = new Set<string>()
  return table.toReversed().filter((entry) => {
    const { target } = entry
    if (target.startsWith(`${below}/`)) return true
    if (!dirs.has(target)) return false
    if (!isOurRoot(entry)) hidden.add(target)
    return !hidden.has(target)
  })
}

/** What is seen at a directory, and is unmounted next; undefined where nothing is mounted. */
export function topmostAt(table: readonly MountEntry[], dir: string): MountEntry | undefined {
  return table.findLast(({ target }) => target === dir)
}

/** A root file system of ours, wherever it is. */
export function isOurRoot({ type, source }: MountEntry): boolean {
  return type === 'overlay' && source === ourSource
}
