/** Who listens where on this host, as the kernel tells it. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import type { Address } from '../../listen.ts'
import { type Holder, meets, type PortFacts } from '../ports.ts'

interface Listener {
  readonly address: Address
  readonly inode: string
}

/** proc_net_tcp(5): sockets that listen. Addresses are words of 32 bits in the machine's own order. Pure. */
export function listenersIn(table: string): Listener[] {
  return table
    .split('\n')
    .slice(1)
    .flatMap((line) => {
      const [, local = '', , state, , , , , , inode = ''] = line.trim().split(/\s+/)
      if (state !== '0A') return []
      const [hex = '', port = ''] = local.split(':')
      const host = hex.length === 8 ? v4(hex) : v6(hex)
      return [{ address: { host, port: Number.parseInt(port, 16) }, inode }]
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

export function lookAtPorts(wanted: readonly { flag: string; address: Address }[]): PortFacts[] {
  const listeners = ['/proc/net/tcp', '/proc/net/tcp6'].flatMap((path) => listenersIn(textOf(path)))
  const here = wanted.map(({ flag, address }) => ({
    flag,
    address,
    inode: listeners.find((listener) => meets(listener.address, { ...address, host: numbered(address.host) }))?.inode,
  }))
  const holders = holdersOf(new Set(here.flatMap(({ inode }) => inode ?? [])))
  return here.map(({ flag, address, inode }) => {
    const holder = inode === undefined ? undefined : holders.get(inode)
    return { flag, address, taken: inode !== undefined, ...(holder ? { holder } : {}) }
  })
}

const numbered = (host: string) => (host === 'localhost' ? '127.0.0.1' : host)

/** By the number of the socket; only those of processes that this user may look into. */
function holdersOf(inodes: ReadonlySet<string>): Map<string, Holder> {
  const holders = new Map<string, Holder>()
  if (inodes.size === 0) return holders
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    for (const inode of socketsOf(pid)) {
      if (inodes.has(inode)) holders.set(inode, { pid: Number(pid), program: textOf(`/proc/${pid}/comm`).trim() })
    }
  }
  return holders
}

function socketsOf(pid: string): string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
      try {
        return /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1] ?? []
      } catch {
        return []
      }
    })
  } catch {
    return []
  }
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
