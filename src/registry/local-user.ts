/**
 * Which user of this host is at the other end of a connection: Linux lists the sockets of the own network namespace
 * with their owners (proc_net_tcp, kernel documentation). A client on another host, or in a container with a network
 * of its own, is not in the list.
 */
import { readFile } from 'node:fs/promises'
import { isIPv4 } from 'node:net'
import { SharedReading } from '../shared-reading.ts'

export interface Ends {
  /** Of the client. */
  readonly remoteAddress: string
  readonly remotePort: number
  /** Of this node. */
  readonly localAddress: string
  readonly localPort: number
}

const tables = ['/proc/net/tcp', '/proc/net/tcp6'].map(
  (file) => new SharedReading(() => readFile(file, 'latin1').catch(() => '')),
)

/** The uid of the client's socket; undefined when it is not on this host, or cannot be told. */
export async function localUser(ends: Ends): Promise<number | undefined> {
  for (const table of tables) {
    const uid = ownerIn(await table.get(), ends)
    if (uid !== undefined) return uid
  }
  return undefined
}

/** Reads it from a table; pure. */
export function ownerIn(table: string, ends: Ends): number | undefined {
  for (const row of rowsOf(ends)) {
    const at = table.indexOf(row)
    if (at < 0) continue
    // After the addresses: state, queues, timer, retransmits, uid, timeout, inode.
    const [, , , , uid, , inode] = table
      .slice(at + row.length, table.indexOf('\n', at))
      .trim()
      .split(/\s+/)
    // A socket that its process has closed has no inode, and uid 0 whoever had it.
    return uid === undefined || inode === undefined || Number(inode) === 0 ? undefined : Number(uid)
  }
  return undefined
}

/** How the two ends stand in a row, seen from the client: its own address first. An IPv4 one may be in IPv6's form. */
function rowsOf({ remoteAddress, remotePort, localAddress, localPort }: Ends): string[] {
  const client = formsOf(remoteAddress)
  const node = formsOf(localAddress)
  const port = (number: number) => number.toString(16).toUpperCase().padStart(4, '0')
  return client.flatMap((form, i) =>
    node[i] === undefined ? [] : [` ${form}:${port(remotePort)} ${node[i]}:${port(localPort)} `],
  )
}

/** 32-bit words as the kernel has them in memory, printed as numbers. */
function formsOf(address: string): string[] {
  const plain = address.toLowerCase().replace(/^::ffff:(?=[\d.]+$)/, '')
  if (isIPv4(plain)) {
    const word = wordOf(plain.split('.').map(Number))
    return [word, `0000000000000000FFFF0000${word}`]
  }
  const bytes = bytesOf(plain)
  return bytes ? [[0, 4, 8, 12].map((at) => wordOf(bytes.slice(at, at + 4))).join('')] : []
}

const littleEndian = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1

function wordOf(bytes: readonly number[]): string {
  const ordered = littleEndian ? [...bytes].reverse() : bytes
  return ordered.map((byte) => byte.toString(16).toUpperCase().padStart(2, '0')).join('')
}

function bytesOf(address: string): number[] | undefined {
  const [head = '', tail] = address.replace(/%.*$/, '').split('::')
  const groups = (text: string) => (text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16)))
  const [before, after] = [groups(head), tail === undefined ? [] : groups(tail)]
  const gap = 8 - before.length - after.length
  if (gap < 0 || (tail === undefined && gap !== 0)) return undefined
  const words = [...before, ...new Array<number>(gap).fill(0), ...after]
  return words.some((word) => !(word >= 0 && word <= 0xffff)) ? undefined : words.flatMap((w) => [w >> 8, w & 255])
}
