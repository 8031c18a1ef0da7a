/** The users of this host, by the file that has them all where nothing else is set up. */
import { readFileSync } from 'node:fs'

/** Its name; the number where it has none. */
export function nameOf(uid: number): string {
  return new RegExp(`^([^:]+):[^:]*:${uid}:`, 'm').exec(users())?.[1] ?? String(uid)
}

export function uidOf(name: string): number | undefined {
  const [, uid] = new RegExp(`^${name}:[^:]*:(\\d+):`, 'm').exec(users()) ?? []
  return uid === undefined ? undefined : Number(uid)
}

function users(): string {
  try {
    return readFileSync('/etc/passwd', 'utf8')
  } catch {
    return ''
  }
}
