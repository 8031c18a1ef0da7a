/** The ports of a node, as they are on this host. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { type Address, numbered, twinOf } from '../../listen.ts'
import { listenersHere, meets } from '../../local/listeners.ts'
import { strangerAmong } from '../../local/stranger.ts'
import type { Holder, PortFacts } from '../ports.ts'

export async function lookAtPorts(wanted: readonly { flag: string; address: Address }[]): Promise<PortFacts[]> {
  const listeners = await listenersHere()
  const here = wanted.map(({ flag, address }) => ({
    flag,
    address,
    inode: listeners.find((listener) => meets(listener.address, numbered(address)))?.inode,
  }))
  const holders = holdersOf(new Set(here.flatMap(({ inode }) => inode ?? [])))
  return here.map(({ flag, address, inode }) => {
    const holder = inode === undefined ? undefined : holders.get(inode)
    const [stranger] = [address, twinOf(numbered(address)) ?? []].flat().flatMap((address) => {
      const user = strangerAmong(listeners, address)
      return user === undefined ? [] : { user, address }
    })
    return {
      ...{ flag, address, taken: inode !== undefined },
      ...(holder ? { holder } : {}),
      ...(stranger ? { stranger } : {}),
    }
  })
}

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
