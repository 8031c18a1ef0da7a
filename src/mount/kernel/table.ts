/** The mounts of this process's namespace, from /proc/self/mountinfo; reading it touches none of them. */
import { readFileSync } from 'node:fs'

export interface MountEntry {
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
    const target = before.split(' ')[4]
    const [type, source, options = ''] = after.split(' ')
    return target && type && source ? [{ target: unescaped(target), type, source: unescaped(source), options }] : []
  })
}

/** Spaces, tabs, newlines and backslashes are written in octal. */
function unescaped(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))
}

/** Ours: by where they are, or by the source that they were mounted with. The latest first, as they are to be unmounted. */
export function ourMounts(table: readonly MountEntry[], below: string, dirs: ReadonlySet<string>): MountEntry[] {
  const ours = ({ target, type }: MountEntry) =>
    target.startsWith(`${below}/`) || (type === 'overlay' && dirs.has(target))
  return table.filter(ours).reverse()
}
