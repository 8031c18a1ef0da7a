/**
 * Somebody at a keyed node's libp2p port: says what the beginning of a connection looks like without the cluster's key,
 * or under another one, and counts what comes back. The node's own nonce, which says nothing, is all that may.
 */
import { connect } from 'node:net'
import xsalsa20 from 'xsalsa20'

export const nonceBytes = 24
/** What the dialling side of every libp2p connection says first, and what it wants next. */
const greeting = new TextEncoder().encode('\x13/multistream/1.0.0\n\x07/noise\n')

/** @param secret of the key to use; undefined: none */
export function opening(secret: Uint8Array | undefined): Uint8Array {
  if (!secret) return greeting
  const nonce = crypto.getRandomValues(new Uint8Array(nonceBytes))
  const cipher = xsalsa20(nonce, secret)
  const text = cipher.update(greeting)
  cipher.finalize()
  return Buffer.concat([nonce, text])
}

export interface Knocked {
  /** Bytes that came back. */
  readonly heard: number
  /** The node hung up; else it was waited for in vain. */
  readonly ended: boolean
}

export interface Door {
  readonly host: string
  readonly port: number
  /** The address of this host to come from; undefined: the kernel's choice. */
  readonly localAddress?: string
}

/** One try. @throws when there is nobody at that address */
export function knock(door: Door, said: Uint8Array, waitMs = 5_000): Promise<Knocked> {
  return new Promise((resolve, reject) => {
    let heard = 0
    const socket = connect(door)
    const over = (ended: boolean) => {
      clearTimeout(timer)
      socket.destroy()
      resolve({ heard, ended })
    }
    const timer = setTimeout(() => over(false), waitMs)
    socket.on('connect', () => socket.write(said))
    socket.on('data', (bytes) => {
      heard += bytes.length
      // It talks with us: there is nothing more to wait for.
      if (heard > nonceBytes) over(false)
    })
    socket.on('close', () => over(true))
    socket.on('error', (error: NodeJS.ErrnoException) => {
      clearTimeout(timer)
      // Whoever is hung up on may hear of it while it still talks.
      if (error.code === 'ECONNRESET' || error.code === 'EPIPE') over(true)
      else reject(error)
    })
  })
}

/** What came of one way to try. */
export interface Kind {
  readonly tries: number
  readonly successes: number
  /** What came back, each once: statuses of HTTP, or numbers of bytes. */
  readonly answers: readonly number[]
}

/** A node hangs up at once on an address that comes more often than 64 times a second; that would be no try. */
const perSecond = 50
const atOnce = 8

/** So many tries that the node has taken up, from all these addresses at once. @throws when it takes up none for long */
export async function knocks(doors: readonly Door[], said: () => Uint8Array, tries: number): Promise<Kind> {
  const heard: number[] = []
  let begun = 0
  let ignored = 0
  const worker = async (door: Door, turns: { next: number }) => {
    while (begun < tries) {
      begun++
      const now = performance.now()
      const wait = turns.next - now
      turns.next = Math.max(turns.next, now) + 1000 / perSecond
      if (wait > 0) await Bun.sleep(wait)
      const answer = await knock(door, said())
      if (answer.heard > 0) {
        heard.push(answer.heard)
        continue
      }
      begun--
      if (++ignored > tries + 100)
        throw new Error(`of ${ignored + heard.length} connections ${ignored} were not taken up`)
    }
  }
  const workers = doors.flatMap((door) => {
    const turns = { next: 0 }
    return Array.from({ length: atOnce }, () => worker(door, turns))
  })
  await Promise.all(workers)
  const successes = heard.filter((bytes) => bytes > nonceBytes).length
  return { tries: heard.length, successes, answers: [...new Set(heard)] }
}
