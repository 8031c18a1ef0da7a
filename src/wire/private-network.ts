/**
 * libp2p's private network (specs/pnet/Private-Networks-PSK-V1.md: each side sends a nonce, and all that follows is
 * XSalsa20 under the cluster key), for a ring of keys instead of one: the side that dials uses its first key, the other
 * finds out which of its own that is by the bytes that every libp2p connection begins with, and uses the same.
 * It speaks with nodes that have one key and libp2p's own protector.
 */
import type { AbortOptions, ConnectionProtector, MultiaddrConnection } from '@libp2p/interface'
import { AbstractMultiaddrConnection, byteStream } from '@libp2p/utils'
import xsalsa20 from 'xsalsa20'
import type { ClusterKey } from '../cluster/cluster-key.ts'
import type { KeyRing } from '../cluster/key-ring.ts'

const nonceLength = 24
/** What the dialling side of a libp2p connection says first: a length and a line. */
const greeting = new TextEncoder().encode('\x13/multistream/1.0.0\n')
const handshakeMs = 2_000

type Cipher = ReturnType<typeof xsalsa20>
type Bytes = Parameters<AbstractMultiaddrConnection['sendData']>[0]

export function privateNetwork(ring: KeyRing): () => ConnectionProtector {
  return () => ({
    async protect(stream, options) {
      const connection = stream as MultiaddrConnection
      const local = crypto.getRandomValues(new Uint8Array(nonceLength))
      const within = { signal: AbortSignal.timeout(handshakeMs), ...options }
      const bytes = byteStream(connection)
      const [said] = await Promise.all([bytes.read({ bytes: nonceLength, ...within }), bytes.write(local, within)])
      const remote = said.subarray()
      let key: ClusterKey | undefined = ring.current
      if (connection.direction === 'inbound') {
        const first = (await bytes.read({ bytes: greeting.length, ...within })).subarray()
        key = keyOf(ring, remote, first)
        // The dialler is not told why: who has no key learns nothing.
        if (!key) throw new Error('the other side does not hold a key of this cluster')
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
    return Buffer.compare(text, greeting) === 0
  })
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
