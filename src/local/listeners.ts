/** Who listens where on this host, as the kernel tells it. */
import { readFile } from 'node:fs/promises'
import { isWildcard } from '../cluster/advertise.ts'
import type { Address } from '../listen.ts'
import { SharedReading } from '../shared-reading.ts'

export interface Listener {
  readonly address: Address
  /** Of its owner. */
  readonly uid: number
  readonly inode: string
}

/** proc_net_tcp(5): sockets that listen. Addresses are words of 32 bits in the machine's own order. Pure. */
export function listenersIn(table: string): Listener[] {
  return table
    .split('\n')
    .slice(1)
    .flatMap((line) => {
      const [, local = '', , state, , , , uid = '', , inode = ''] = line.trim().split(/\s+/)
      if (state !== '0A') return []
      const [hex = '', port = ''] = local.split(':')
      const host = hex.length === 8 ? v4(hex) : v6(hex)
      return [{ address: { host, port: Number.parseInt(port, 16) }, uid: Number(uid), inode }]
    })
}

const wordsOf = (hex: string) => (hex.match(/.{8}/g) ?? []).map((word) => (word.match(/../g) ?? []).reverse().join(''))

function v4(hex: string): string {
  return (wordsOf(hex)[0]?.match(/../g) ?? []).map((byte) => Number.parseInt(byte, 16)).join('.')
}

function v6(hex: string): string {
  const whole = wordsOf(hex).join('')
  if (/^0{20}f{4}/i.test(whole)) return v4(hex.slice(24))
  const groups = (whole.match(/.{4}/g) ?? []).join(':')
  return new URL(`http://[${groups}]/`).hostname.slice(1, -1)
}

const reading = new SharedReading(async () => {
  const tables = ['/proc/net/tcp', '/proc/net/tcp6'].map((path) => readFile(path, 'latin1').catch(() => ''))
  return (await Promise.all(tables)).flatMap(listenersIn)
})

export function listenersHere(): Promise<readonly Listener[]> {
  return reading.get()
}

/** Whether a socket at `one` is in the way of, or is, one at `other`. */
export function meets(one: Address, other: Address): boolean {
  return one.port === other.port && (one.host === other.host || isWildcard(one.host) || isWildcard(other.host))
}
