/**
 * Somebody at a keyed node's libp2p port: says what the beginning of a connection looks like without the cluster's key,
 * or under another one, and counts what comes back. The node's own nonce, which says nothing, is all that may.
 */
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

/** One try. @throws when there is nobody at that address */
export async function knock(
  { hostname, port }: { readonly hostname: string; readonly port: number },
  said: Uint8Array,
  waitMs = 5_000,
): Promise<Knocked> {
  const over = Promise.withResolvers<Knocked>()
  let heard = 0
  const socket = await Bun.connect({
    hostname,
    port,
    socket: {
      open: (socket) => void socket.write(said),
      data(_, bytes) {
        heard += bytes.length
        // It talks with us: there is nothing more to wait for.
        if (heard > nonceBytes) over.resolve({ heard, ended: false })
      },
      close: () => over.resolve({ heard, ended: true }),
      error: () => over.resolve({ heard, ended: true }),
    },
  })
  const timer = setTimeout(() => over.resolve({ heard, ended: false }), waitMs)
  try {
    return await over.promise
  } finally {
    clearTimeout(timer)
    socket.terminate()
  }
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
const atOnce = 16

/** So many tries that the node has taken up. @throws when it takes up none for long */
export async function knocks(
  door: { readonly hostname: string; readonly port: number },
  said: () => Uint8Array,
  tries: number,
): Promise<Kind> {
  const heard: number[] = []
  let begun = 0
  let ignored = 0
  let turn = performance.now()
  const worker = async () => {
    while (begun < tries) {
      begun++
      const wait = turn - performance.now()
      turn = Math.max(turn, performance.now()) + 1000 / perSecond
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
  await Promise.all(Array.from({ length: atOnce }, worker))
  const successes = heard.filter((bytes) => bytes > nonceBytes).length
  return { tries: heard.length, successes, answers: [...new Set(heard)] }
}
