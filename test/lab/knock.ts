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
