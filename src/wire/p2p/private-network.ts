/**
 * libp2p's private network (specs/pnet/Private-Networks-PSK-V1.md: each side sends a nonce, and all that follows is
 * XSalsa20 under the cluster key), for a ring of keys instead of one: the side that dials uses its first key, the other
 * finds out which of its own that is by the bytes that every libp2p connection begins with, and uses the same.
 * It speaks with nodes that have one key and libp2p's own protector. How long it may take is in the signal that libp2p
 * gives: for who dials in `hostLimits.upgradeMs`, of which the greeting is a part.
 */
import type { AbortOptions, ConnectionProtector, MultiaddrConnection } from '@libp2p/interface'
import { AbstractMultiaddrConnection, byteStream } from '@libp2p/utils'
import xsalsa20 from 'xsalsa20'
import type { ClusterKey } from '../../cluster/cluster-key.ts'
import type { KeyRing } from '../../cluster/key-ring.ts'

const nonceLength = 24
/** What the dialling side of a libp2p connection says first: a length and a line. */
const greeting = new TextEncoder().encode('\x13/multistream/1.0.0\n')

type Cipher = ReturnType<typeof xsalsa20>
type Bytes = Parameters<AbstractMultiaddrConnection['sendData']>[0]

/** @param stranger told of who dialled and is not let in, and why */
export function privateNetwork(
  ring: KeyRing,
  stranger: (from: string, why: string) => void,
): () => ConnectionProtector {
  return () => ({
    async protect(stream, options) {
      const connection = stream as MultiaddrConnection
      const local = crypto.getRandomValues(new Uint8Array(nonceLength))
      const bytes = byteStream(connection)
      const read = async (count: number) => (await bytes.read({ bytes: count, ...options })).subarray()
      const inbound = connection.direction === 'inbound'
      const turnedAway = (why: string) => {
        // The dialler is not told: who has no key learns nothing.
        if (inbound) stranger(connection.remoteAddr.toString(), why)
        return new Error(why)
      }
      const theirs = async () => {
        const start = await read(greeting.length).catch((error) => {
          throw inbound || !options?.signal?.aborted ? error : new Error('it says nothing: it may hold no cluster key')
        })
        if (isGreeting(start)) throw turnedAway('the other side holds no cluster key')
        return Buffer.concat([start, await read(nonceLength - greeting.length)])
      }
      const [remote] = await Promise.all([theirs(), bytes.write(local, options)])
      let key: ClusterKey | undefined = ring.current
      if (inbound) {
        const first = await read(greeting.length)
        key = keyOf(ring, remote, first)
        if (!key) throw turnedAway('the other side holds another cluster key')
        bytes.unwrap()
        connection.unshift(first)
      } else {
        bytes.unwrap()
      }
      return new Boxed(connection, xsalsa20(remote, key.secret), xsalsa20(local, key.secret))
    },
  })
}

/** The key under which `first` is how a connection begins. */
function keyOf(ring: KeyRing, nonce: Uint8Array, first: Uint8Array): ClusterKey | undefined {
  return ring.keys.find(({ secret }) => {
    const cipher = xsalsa20(nonce, secret)
    const text = cipher.update(first)
    cipher.finalize()
    return isGreeting(text)
  })
}

function isGreeting(bytes: Uint8Array): boolean {
  return Buffer.compare(bytes, greeting) === 0
}

/** A connection on which everything is enciphered. */
class Boxed extends AbstractMultiaddrConnection {
  readonly #inner: MultiaddrConnection
  readonly #out: Cipher
  #over = false

  constructor(inner: MultiaddrConnection, incoming: Cipher, outgoing: Cipher) {
    super({ log: inner.log.newScope('private'), remoteAddr: inner.remoteAddr, direction: inner.direction })
    this.#inner = inner
    this.#out = outgoing
    inner.addEventListener('message', ({ data }) => {
      if (this.#over) return
      for (const part of data instanceof Uint8Array ? [data] : data) this.onData(incoming.update(part))
    })
    inner.addEventListener('drain', () => this.onMuxerDrain())
    inner.addEventListener('close', (event) => {
      // Given back twice, their memory would be that of two others at once.
      if (this.#over) return
      this.#over = true
      incoming.finalize()
      outgoing.finalize()
      if (!event.error) this.onTransportClosed()
      else if (event.local) this.abort(event.error)
      else this.onRemoteReset()
    })
  }

  sendData(data: Bytes) {
    // Its memory is somebody else's by then.
    if (this.#over) return { sentBytes: data.byteLength, canSendMore: false }
    return { sentBytes: data.byteLength, canSendMore: this.#inner.send(this.#out.update(data.subarray())) }
  }
  sendClose(options?: AbortOptions): Promise<void> {
    return this.#inner.close(options)
  }
  sendReset(error: Error): void {
    this.#inner.abort(error)
  }
  sendPause(): void {
    this.#inner.pause()
  }
  sendResume(): void {
    this.#inner.resume()
  }
}
