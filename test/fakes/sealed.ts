/** A folder that this process may not write in, whoever it is: root minds no modes, and has to be kept off otherwise. */
import { chmodSync } from 'node:fs'

const isRoot = process.getuid?.() === 0

/** @returns false where that cannot be done: the file system knows no such thing */
export function seal(dir: string): boolean {
  if (isRoot) return immutable('+i', dir)
  chmodSync(dir, 0o555)
  return true
}

export function unseal(dir: string): void {
  if (isRoot) immutable('-i', dir)
  else chmodSync(dir, 0o755)
}

/** chattr(1). */
function immutable(change: '+i' | '-i', dir: string): boolean {
  return Bun.which('chattr') !== null && Bun.spawnSync(['chattr', change, dir], { stderr: 'ignore' }).success
}
