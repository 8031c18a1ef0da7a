/** An honest client on a slow link: it takes what comes, at the rate of the link, and tells the digest of what it got. */
export async function readSlowly(
  url: string,
  bytesPerSecond: number,
  most: number,
): Promise<{ digest: string; seconds: number; bytes: number }> {
  const begun = performance.now()
  const { hostname, port, pathname } = new URL(url)
  const over = Promise.withResolvers<void>()
  const hash = new Bun.CryptoHasher('sha256')
  let head = Buffer.alloc(0)
  let inBody = false
  let bytes = 0
  let length = Number.POSITIVE_INFINITY
  const socket = await Bun.connect({
    hostname,
    port: Number(port),
    socket: {
      data(socket, chunk) {
        let body: Uint8Array = chunk
        if (!inBody) {
          head = Buffer.concat([head, chunk])
          const end = head.indexOf('\r\n\r\n')
          if (end < 0) return
          inBody = true
          length = Number(/content-length: (\d+)/i.exec(head.toString('latin1', 0, end))?.[1])
          body = head.subarray(end + 4)
        }
        hash.update(body)
        bytes += body.length
        if (bytes >= length) return over.resolve()
        const ahead = bytes / bytesPerSecond - (performance.now() - begun) / 1000
        if (ahead <= 0) return
        socket.pause()
        setTimeout(() => socket.resume(), ahead * 1000)
      },
      close: () =>
        over.reject(
          new Error(`closed after ${bytes} of ${length} bytes, ${Math.round((performance.now() - begun) / 1000)} s`),
        ),
      error: (_, error) => over.reject(error),
    },
  })
  const timer = setTimeout(() => over.reject(new Error(`not whole after ${most} s`)), most * 1000)
  try {
    socket.write(`GET ${pathname} HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\r\n`)
    await over.promise
    return { digest: `sha256:${hash.digest('hex')}`, seconds: (performance.now() - begun) / 1000, bytes }
  } finally {
    clearTimeout(timer)
    socket.end()
  }
}
