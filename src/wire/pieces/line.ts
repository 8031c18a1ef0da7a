/**
 * A connection to a peer port that carries requests for pieces, one at a time. What the kernel has for it is copied to
 * where the piece is put together, and nothing else is kept: the other side can make this one hold a head and a piece,
 * and no more.
 */
import type { Socket } from 'bun'
import { Failure } from '../../failure.ts'
import type { Trust } from '../encryption.ts'
import type { AnswerReader } from './answer.ts'

interface Turn {
  readonly reader: AnswerReader
  readonly resolve: () => void
  readonly reject: (failure: Failure) => void
}

export class PieceLine {
  /** The base of the peer port's URL. */
  readonly url: string
  #socket: Socket<PieceLine> | undefined
  #turn: Turn | undefined
  /** What the kernel has not taken yet. */
  #unsent = ''
  #answers = 0
  #over = false
  #stale = false

  /** Begins to connect; {@link ask} may be called at once. Nothing is sent to who is not to be trusted. */
  constructor(url: string, tls?: Trust) {
    this.url = url
    const { hostname, port } = new URL(url)
    Bun.connect<PieceLine>({
      hostname: hostname.replace(/^\[|\]$/g, ''),
      port: Number(port || (tls ? 443 : 80)),
      ...(tls && { tls }),
      data: this,
      socket: {
        binaryType: 'arraybuffer',
        open: (socket) => {
          if (!tls) this.#opened(socket)
        },
        handshake: (socket, trusted, why) => {
          if (trusted) this.#opened(socket)
          else {
            this.#broke(why?.message ?? 'it is not who it should be')
            socket.terminate()
          }
        },
        // The types only know of the kind that comes when none is chosen.
        data: (_, chunk: ArrayBuffer | Uint8Array) =>
          this.#received(chunk instanceof ArrayBuffer ? chunk : new Uint8Array(chunk).buffer),
        drain: () => this.#send(),
        close: () => this.#broke('the connection was closed'),
        error: (_, error) => this.#broke(error.message),
        connectError: (_, error) => this.#broke(error.message),
      },
    }).catch((error: Error) => this.#broke(error.message))
  }

  /** It carries nothing any more. */
  get over(): boolean {
    return this.#over
  }

  /**
   * It had carried answers before, and the other side closed it instead of answering again: a request sent into a
   * connection that is just going away, which another connection may well carry.
   */
  get stale(): boolean {
    return this.#stale
  }

  /** Sends a request and reads its answer. @throws {Failure} the reader's, or `unavailable`; the line is over then */
  ask(request: string, reader: AnswerReader): Promise<void> {
    if (this.#over) return Promise.reject(new Failure('unavailable', `${this.url}: the connection is closed`))
    return new Promise((resolve, reject) => {
      this.#turn = { reader, resolve, reject }
      this.#unsent = request
      this.#send()
    })
  }

  /** Closes it. Whoever waits for an answer gets `failure` instead. */
  drop(failure: Failure): void {
    if (this.#over) return
    this.#over = true
    const turn = this.#turn
    this.#turn = undefined
    this.#socket?.terminate()
    turn?.reject(failure)
  }

  #opened(socket: Socket<PieceLine>): void {
    this.#socket = socket
    if (this.#over) socket.terminate()
    else this.#send()
  }

  #send(): void {
    if (!this.#socket || this.#unsent === '') return
    // A request is ASCII, so bytes are characters.
    const sent = this.#socket.write(this.#unsent)
    if (sent > 0) this.#unsent = this.#unsent.slice(sent)
  }

  #received(chunk: ArrayBuffer): void {
    if (this.#over) return
    const turn = this.#turn
    if (!turn) return this.drop(new Failure('unavailable', `${this.url}: an answer to nothing`))
    try {
      if (!turn.reader.feed(new Uint8Array(chunk))) return
    } catch (error) {
      return this.drop(Failure.from(error))
    } finally {
      free(chunk)
    }
    this.#answers++
    this.#turn = undefined
    turn.resolve()
  }

  #broke(reason: string): void {
    if (this.#over) return
    this.#stale = this.#answers > 0 && this.#turn?.reader.began === false
    this.drop(new Failure('unavailable', `${this.url}: ${reason}`))
  }
}

/** Chunks are copied at once, and a gigabyte a second of them is not left to the garbage collector: that costs its pages. */
function free(chunk: ArrayBuffer): void {
  if (chunk.byteLength >= 2048) chunk.transfer(0)
}
