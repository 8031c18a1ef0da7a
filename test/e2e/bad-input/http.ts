/** One HTTP/1.1 request as raw bytes, because no client sends what is wrong; the answer as text. */

export interface Answer {
  readonly status: number
  /** Status line, headers and body. */
  readonly text: string
  readonly body: string
}

export interface RawRequest {
  readonly method: string
  readonly target: string
  readonly headers: readonly string[]
  readonly body: string
}

export function bytesOf(host: string, { method, target, headers, body }: RawRequest): string {
  const length = body === '' ? [] : [`Content-Length: ${body.length}`]
  const lines = [`${method} ${target} HTTP/1.1`, `Host: ${host}`, 'Connection: close', ...headers, ...length]
  return `${lines.join('\r\n')}\r\n\r\n${body}`
}

/** @throws when there is no answer within 15 s */
export async function ask(hostname: string, port: number, bytes: string): Promise<Answer> {
  const over = Promise.withResolvers<void>()
  const decoder = new TextDecoder()
  let text = ''
  let left = new TextEncoder().encode(bytes)
  const send = (socket: Bun.Socket) => {
    left = left.subarray(socket.write(left))
  }
  const socket = await Bun.connect({
    hostname,
    port,
    socket: {
      open: send,
      drain: send,
      data: (_, chunk) => {
        text += decoder.decode(chunk, { stream: true })
      },
      close: () => over.resolve(),
      error: (_, error) => over.reject(error),
    },
  })
  const timer = setTimeout(() => over.reject(new Error(`no whole answer from ${hostname}:${port} in 15 s`)), 15_000)
  try {
    await over.promise
  } finally {
    clearTimeout(timer)
    socket.end()
  }
  const status = Number(/^HTTP\/1\.1 ([0-9]{3})/.exec(text)?.[1] ?? 0)
  const end = text.indexOf('\r\n\r\n')
  return { status, text, body: end < 0 ? '' : text.slice(end + 4) }
}
