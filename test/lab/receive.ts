/**
 * Receives one blob over a plain socket and hashes it as it comes. Bun's `fetch` hands every chunk from a thread of its
 * own to the script; sixteen pullers through it took 2.5 CPU-seconds a GB where this takes 1.9 (`scripts/bench --scenario
 * hosts-16`), and on a machine of two cores that is a part of what is measured.
 */
import { algorithmOf, type Digest } from '../../src/oci/digest.ts'

const endOfHead = '\r\n\r\n'

/** @throws when the answer, after redirects, is not a 200 with exactly `size` bytes that have `digest` */
export async function receiveBlob(url: string, digest: Digest, size: number): Promise<void> {
  let from: string | undefined = url
  for (let hops = 0; from !== undefined; hops++) {
    if (hops > 5) throw new Error(`${url}: redirected again and again`)
    from = await receive(from, digest, size)
  }
}

/** Resolves to where the blob is to be had instead, if it is elsewhere. */
async function receive(url: string, digest: Digest, size: number): Promise<string | undefined> {
  const { hostname, port, host, pathname, search } = new URL(url)
  const hash = new Bun.CryptoHasher(algorithmOf(digest))
  let head = ''
  let body = false
  let received = 0
  const { promise, resolve, reject } = Promise.withResolvers<string | undefined>()
  const refuse = (why: string) => reject(new Error(`${url}: ${why}`))
  const take = (bytes: Uint8Array) => {
    hash.update(bytes)
    received += bytes.length
    if (received >= size) resolve(undefined)
  }
  const socket = await Bun.connect({
    hostname,
    port: Number(port || 80),
    socket: {
      open: (opened) => {
        opened.write(`GET ${pathname}${search} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`)
      },
      data: (_, bytes) => {
        if (body) return take(bytes)
        const before = head.length
        head += Buffer.from(bytes).toString('latin1')
        const end = head.indexOf(endOfHead)
        if (end < 0) return
        const status = head.slice(0, head.indexOf('\r\n'))
        const elsewhere = /^HTTP\/1\.1 30[278] /.test(status) && /^location: *(.+)$/im.exec(head)?.[1]
        if (elsewhere) return resolve(new URL(elsewhere.trim(), url).href)
        if (!status.startsWith('HTTP/1.1 200')) return refuse(`${status}: ${head.slice(end).trim().slice(0, 500)}`)
        body = true
        take(bytes.subarray(end + endOfHead.length - before))
      },
      close: () => refuse(`${received} bytes instead of ${size}`),
      error: (_, error) => reject(error),
    },
  })
  try {
    const elsewhere = await promise
    if (elsewhere) return elsewhere
  } finally {
    socket.terminate()
  }
  if (received !== size) throw new Error(`${url}: ${received} bytes instead of ${size}`)
  const found = `${algorithmOf(digest)}:${hash.digest('hex')}`
  if (found !== digest) throw new Error(`${url}: the bytes have digest ${found}`)
}
