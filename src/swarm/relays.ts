/**
 * Pieces that are passed on while they come. Hosts that start the same image at once wait for the same piece, one after the
 * other: passed on once it is whole it would reach the sixteenth of them sixteen times as late as the first. So who is sent
 * a piece sends it on as its bytes come, and keeps the last of them back until the whole is verified: nobody is given a
 * wrong piece, only the beginning of one, and who passes it on is never taken for who made it up.
 */
import type { NodeId } from '../cluster/node-info.ts'
import type { Digest } from '../oci/digest.ts'

/** Bytes that are kept back until the piece is verified. */
export const keptBack = 16 * 1024
/** Less than this is not worth a packet while more is to come, in bytes. */
export const leastPart = 16 * 1024
/** Who was slow is not asked to pass anything on for so long, in ms; so many are remembered. */
const slowMs = 15_000
const mostSlow = 1024
/** So many pieces are passed on at once: each of them takes memory if its child is slow. */
export const mostRelays = 32

/** What who asks for a piece is told of it, and what becomes of it. */
export class Arriving {
  #bytes: Uint8Array | undefined
  #here = 0
  #sound = false
  #over = false
  readonly #listeners = new Set<() => void>()

  /** Something of it is here. */
  get begun(): boolean {
    return this.#here > 0
  }
  /** All of it may be passed on. */
  get sound(): boolean {
    return this.#sound
  }
  /** Nothing of it comes any more. */
  get over(): boolean {
    return this.#over
  }

  /** The first `upTo` of its bytes are here. */
  came(bytes: Uint8Array, upTo: number): void {
    this.#bytes = bytes
    this.#here = upTo
    this.#tell()
  }

  /** It is whole, and what it should be. Its memory may be used for something else as soon as it is over. */
  verified(): void {
    this.#sound = true
    this.#tell()
  }

  /** Its request is over. */
  end(): void {
    this.#over = true
    this.#tell()
    this.#bytes = undefined
  }

  /** Called at each change, until the result is called. */
  listen(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  /** A copy of what may be passed on of it from there on; undefined where that is not worth it yet. */
  part(from: number): Uint8Array | undefined {
    if (!this.#bytes) return undefined
    if (this.#sound) return this.#bytes.slice(from)
    const to = Math.min(this.#here, this.#bytes.length - keptBack)
    return to - from < leastPart ? undefined : this.#bytes.slice(from, to)
  }

  #tell(): void {
    for (const listener of [...this.#listeners]) listener()
  }
}

export class Relays {
  /** By blob and piece: the requests that will bring it. */
  readonly #arriving = new Map<string, Set<Arriving>>()
  /** By blob: requests of which it is not known yet what they bring. */
  readonly #open = new Map<Digest, number>()
  /** By blob: who wants to know what comes. */
  readonly #watchers = new Map<Digest, Set<() => void>>()
  /** Nodes that were to pass something on and sent next to nothing, and when that was; the last of them at the end. */
  readonly #slow = new Map<NodeId, number>()
  #running = 0

  /** That node was to pass something on, and has sent next to nothing in good time: out of reach from here, perhaps. */
  wasSlow(node: NodeId, now: number): void {
    this.#slow.delete(node)
    this.#slow.set(node, now)
    if (this.#slow.size > mostSlow) this.#slow.delete(this.#slow.keys().next().value!)
  }

  /** It was so lately: who waits for it would wait as long as the last time. */
  isSlow(node: NodeId, now: number): boolean {
    return now - (this.#slow.get(node) ?? Number.NEGATIVE_INFINITY) < slowMs
  }

  /** Pieces that are being passed on. */
  get running(): number {
    return this.#running
  }

  /** No more may be. */
  get full(): boolean {
    return this.#running >= mostRelays
  }

  /** That piece is asked for; to be told what becomes of it, `end` in any case. */
  expect(digest: Digest, piece: number): Arriving {
    const key = keyOf(digest, piece)
    const arriving = new Arriving()
    const all = this.#arriving.get(key) ?? new Set()
    this.#arriving.set(key, all.add(arriving))
    let begun = false
    arriving.listen(() => {
      if (arriving.over) {
        all.delete(arriving)
        if (all.size === 0 && this.#arriving.get(key) === all) this.#arriving.delete(key)
      } else if (begun) return
      begun = true
      this.#tell(digest)
    })
    this.#tell(digest)
    return arriving
  }

  /** Some piece is asked for, until the result is called: it is known then which, or that none comes. */
  open(digest: Digest): () => void {
    this.#open.set(digest, (this.#open.get(digest) ?? 0) + 1)
    let open = true
    return () => {
      if (!open) return
      open = false
      const left = this.#open.get(digest)! - 1
      if (left > 0) this.#open.set(digest, left)
      else this.#open.delete(digest)
      this.#tell(digest)
    }
  }

  /** The first request for it that brings something; undefined when none does, or `signal` aborts. */
  async coming(digest: Digest, piece: number, signal: AbortSignal): Promise<Arriving | undefined> {
    if (signal.aborted || this.full) return undefined
    const { promise, resolve } = Promise.withResolvers<Arriving | undefined>()
    const look = () => {
      const all = this.#arriving.get(keyOf(digest, piece))
      const begun = all && [...all].find((arriving) => arriving.begun)
      if (begun || (!all && !this.#open.has(digest))) resolve(begun)
    }
    const watchers = this.#watchers.get(digest) ?? new Set()
    this.#watchers.set(digest, watchers.add(look))
    signal.addEventListener('abort', () => resolve(undefined), { once: true })
    look()
    const found = await promise
    watchers.delete(look)
    if (watchers.size === 0 && this.#watchers.get(digest) === watchers) this.#watchers.delete(digest)
    return found?.over ? undefined : found
  }

  /**
   * Passes it on, as it comes and is taken: what its child does not read waits here, a piece at most. `over` resolves when
   * that is over, with whether it was all of it.
   */
  relay(arriving: Arriving): { body: ReadableStream<Uint8Array>; over: Promise<boolean> } {
    const { promise: over, resolve } = Promise.withResolvers<boolean>()
    this.#running++
    void over.then(() => this.#running--)
    let sent = 0
    /** All that is left: the memory of a piece that is over is used for another. */
    let rest: Uint8Array | undefined
    let changed = () => {}
    let ended = false
    const look = () => {
      if (arriving.sound && !arriving.over) rest ??= arriving.part(sent)
      changed()
    }
    const leave = arriving.listen(look)
    look()
    const end = (whole: boolean) => {
      ended = true
      leave()
      changed()
      resolve(whole)
    }
    const next = async (): Promise<Uint8Array | undefined> => {
      for (;;) {
        if (rest) return rest
        const part = arriving.part(sent)
        if (part || arriving.over || ended) return part
        await new Promise<void>((resolve) => {
          changed = resolve
        })
      }
    }
    const body = new ReadableStream<Uint8Array>(
      {
        async pull(controller) {
          if (rest?.length !== 0) {
            const part = await next()
            if (part && !ended) {
              sent += part.length
              if (rest) rest = part.subarray(part.length)
              controller.enqueue(part)
              return
            }
          }
          if (ended) return
          controller.close()
          end(rest !== undefined)
        },
        cancel: () => end(false),
      },
      { highWaterMark: 0 },
    )
    return { body, over }
  }

  #tell(digest: Digest): void {
    for (const watcher of [...(this.#watchers.get(digest) ?? [])]) watcher()
  }
}

/** The piece that a request will bring, as {@link Relays} know it. */
export class Expected {
  readonly #relays: Relays
  readonly #digest: Digest
  /** It is known which. */
  readonly #known: () => void
  #piece: number | undefined
  #arriving: Arriving | undefined

  constructor(relays: Relays, digest: Digest) {
    this.#relays = relays
    this.#digest = digest
    this.#known = relays.open(digest)
  }

  /** What another node sent of it before, in vain, is not mixed with what comes now: one of the two may be wrong. */
  bound(piece: number): void {
    if (this.#piece === piece && !this.#arriving?.begun) return
    this.#arriving?.end()
    this.#piece = piece
    this.#arriving = this.#relays.expect(this.#digest, piece)
    this.#known()
  }

  came(bytes: Uint8Array, upTo: number): void {
    this.#arriving?.came(bytes, upTo)
  }

  verified(): void {
    this.#arriving?.verified()
  }

  end(): void {
    this.#arriving?.end()
    this.#known()
  }
}

function keyOf(digest: Digest, piece: number): string {
  return `${digest} ${piece}`
}
