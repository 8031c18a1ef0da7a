/**
 * Calls of many nodes over a bounded number of kept connections, in hand-built HTTP/1.1. `fetch` would cost the
 * generator several times what the call costs the scheduler, and the generator has one core as well.
 *
 * What counts as latency begins when a call is made, not when a connection is free for it: a scheduler that falls behind
 * shows.
 */
import type { Socket } from 'bun'

export interface Answer {
  readonly status: number
  readonly body: string
}

interface Call {
  readonly request: string
  readonly resolve: (answer: Answer) => void
  readonly reject: (error: Error) => void
}

interface Line {
  socket: Socket<Line> | undefined
  call: Call | undefined
  /** Of the request, what the socket has not taken yet. */
  unsent: Buffer | undefined
  received: Buffer | undefined
}

const headEnd = Buffer.from('\r\n\r\n')

export class Connections {
  readonly #host: string
  readonly #port: number
  readonly #most: number
  /** The one that has rested longest is used first, so that the server closes none for being idle. */
  readonly #idle: Line[] = []
  readonly #waiting: Call[] = []
  #open = 0
  #closed = false

  constructor(url: string, most: number) {
    const { hostname, port } = new URL(url)
    this.#host = hostname
    this.#port = Number(port)
    this.#most = most
  }

  /** Calls that wait for a connection. */
  get waiting(): number {
    return this.#waiting.length
  }

  post(path: string, node: string, body: string): Promise<Answer> {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>()
    const head =
      `POST ${path} HTTP/1.1\r\nhost: ${this.#host}:${this.#port}\r\nconnection: keep-alive\r\n` +
      `content-type: application/json\r\nx-shoal-node: ${node}\r\naccept: */*\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n`
    this.#waiting.push({ request: head + body, resolve, reject })
    this.#next()
    return promise
  }

  close(): void {
    this.#closed = true
    for (const line of this.#idle.splice(0)) line.socket?.end()
    for (const call of this.#waiting.splice(0)) call.reject(new Error('the generator ends'))
  }

  #next(): void {
    while (this.#waiting.length > 0) {
      const line = this.#idle.shift()
      if (line) this.#send(line, this.#waiting.shift()!)
      else if (this.#open < this.#most) void this.#dial()
      else return
      if (!line) return
    }
  }

  async #dial(): Promise<void> {
    this.#open++
    const line: Line = { socket: undefined, call: undefined, unsent: undefined, received: undefined }
    try {
      line.socket = await Bun.connect<Line>({
        hostname: this.#host,
        port: this.#port,
        data: line,
        socket: {
          data: (_, chunk) => this.#received(line, chunk),
          drain: () => this.#flush(line),
          close: () => this.#gone(line),
          error: () => {},
        },
      })
    } catch (error) {
      this.#open--
      this.#waiting.shift()?.reject(error as Error)
      return
    }
    this.#rest(line)
  }

  #rest(line: Line): void {
    this.#idle.push(line)
    if (this.#closed) line.socket?.end()
    else this.#next()
  }

  #send(line: Line, call: Call): void {
    line.call = call
    line.unsent = Buffer.from(call.request)
    this.#flush(line)
  }

  #flush(line: Line): void {
    if (!line.unsent || !line.socket) return
    const sent = Math.max(0, line.socket.write(line.unsent))
    line.unsent = sent < line.unsent.length ? line.unsent.subarray(sent) : undefined
  }

  #received(line: Line, chunk: Buffer): void {
    const all = line.received ? Buffer.concat([line.received, chunk]) : chunk
    const head = all.indexOf(headEnd)
    const text = head < 0 ? '' : all.toString('latin1', 0, head)
    const start = head + headEnd.length
    const length = Number(/\r\ncontent-length: *(\d+)/i.exec(text)?.[1] ?? 0)
    if (head < 0 || all.length < start + length) {
      // The chunk is the runtime's and lives until this function returns.
      line.received = Buffer.from(all)
      return
    }
    const { call } = line
    line.received = line.call = undefined
    call?.resolve({ status: Number(text.slice(9, 12)), body: all.toString('utf8', start, start + length) })
    this.#rest(line)
  }

  #gone(line: Line): void {
    this.#open--
    const at = this.#idle.indexOf(line)
    if (at >= 0) this.#idle.splice(at, 1)
    line.call?.reject(new Error('the connection was closed'))
    line.call = undefined
    if (!this.#closed) this.#next()
  }
}
