/**
 * Which connections a process holds, as the kernel has it: a client cannot tell, for what the kernel has taken of an
 * answer goes on arriving after the process has closed its end.
 */
import { readFileSync } from 'node:fs'

const listening = '0A'

/** Of connections to that IPv4 address and port of this machine: ports of clients whose other end some process has open. */
export function heldAt(address: string, port: number, table = readFileSync('/proc/net/tcp', 'utf8')): Set<number> {
  const here = `${[...address.split('.')]
    .reverse()
    .map((byte) => hex(Number(byte), 2))
    .join('')}:${hex(port, 4)}`
  const held = new Set<number>()
  for (const line of table.split('\n').slice(1)) {
    const [, local, remote, state, , , , , , inode] = line.trim().split(/\s+/)
    // An end that nobody has open, any more or as yet, has no inode.
    if (local !== here || state === listening || inode === '0') continue
    held.add(Number.parseInt(remote?.split(':')[1] ?? '', 16))
  }
  return held
}

function hex(value: number, digits: number): string {
  return value.toString(16).toUpperCase().padStart(digits, '0')
}
