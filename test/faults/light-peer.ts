/**
 * A peer without a store and without children: the sessions, the piece client and the checks of a real node, in front of
 * one parent. Hundreds of them fit into a process, and they ask as fast as they can take.
 */
import { systemClock as clock } from '../../src/clock.ts'
import { Identity } from '../../src/cluster/identity.ts'
import type { NodeCard } from '../../src/cluster/node-info.ts'
import { Failure } from '../../src/failure.ts'
import type { Digest } from '../../src/oci/digest.ts'
import { Bitmap } from '../../src/piece/bitmap.ts'
import { layoutOf } from '../../src/piece/layout.ts'
import { Metainfo, segmentPayload } from '../../src/piece/metainfo.ts'
import { Gate } from '../../src/rate.ts'
import { silentLog } from '../../src/telemetry/log.ts'
import { plain } from '../../src/wire/encryption.ts'
import { introduce } from '../../src/wire/http-wire.ts'
import type { Frame, FrameOf } from '../../src/wire/messages.ts'
import { PieceClient } from '../../src/wire/pieces/client.ts'
import { Sessions } from '../../src/wire/sessions.ts'
import { dialSocket } from '../../src/wire/sockets.ts'
import type { Session } from '../../src/wire/wire.ts'
import { until } from '../lab/until.ts'
import { must } from './fault.ts'

export interface LightPull {
  readonly digest: Digest
  readonly size: number
  readonly seconds: number
}

/** Requests in flight at the parent. */
const pipeline = 1
/** A parent that is busy, or does not have it yet, is asked again so much later. */
const againMs = 50

export class LightPeer {
  readonly #self: NodeCard
  readonly #identity: Identity
  readonly #parent: NodeCard
  readonly #sessions: Sessions
  readonly #pieces: PieceClient
  readonly #known = new Map<Digest, Metainfo>()
  readonly #closed: string[] = []

  private constructor(identity: Identity, parent: NodeCard) {
    this.#identity = identity
    this.#parent = parent
    // Nobody is told of a way to it: it has nothing to give.
    this.#self = { id: identity.id, url: 'http://127.0.0.1:9' }
    const from = { self: this.#self, tickets: undefined }
    this.#sessions = new Sessions({
      self: this.#self,
      handler: () => ({
        opened: () => {},
        frame: (_, frame) => this.#heard(frame),
        closed: (_, reason) => void this.#closed.push(reason),
      }),
      dial: dialSocket(clock, plain, (node) => ({
        headers: introduce(from, node, 'GET', '/').headers,
        secret: undefined,
      })),
      clock,
      log: silentLog,
    })
    this.#pieces = new PieceClient({
      headers: (node, target) => introduce(from, node, 'GET', target).headers,
      encryption: plain,
      gate: new Gate({ clock }),
      received: undefined,
      clock,
      metrics: undefined,
    })
  }

  static async of(parent: NodeCard): Promise<LightPeer> {
    return new LightPeer(await Identity.temporary(), parent)
  }

  /** Fetches every piece of the blob and checks it against what was stated. @throws when it cannot in time, or one is wrong */
  async pull({ digest, size, seconds }: LightPull): Promise<void> {
    const layout = layoutOf(size)
    const metainfo = new Metainfo(digest, layout)
    this.#known.set(digest, metainfo)
    const session = await this.#sessions.get(this.#parent)
    session.send({ t: 'want', digest })
    const late = AbortSignal.timeout(seconds * 1000)
    const [have, asked] = [new Bitmap(layout.count), new Bitmap(layout.count)]
    try {
      const worker = async () => {
        while (!have.complete && asked.count < layout.count) {
          must(session.open, `the session ended: ${this.#closed.at(-1)}`)
          await this.#fetch({ metainfo, have, asked, session, late })
        }
      }
      await Promise.all(Array.from({ length: pipeline }, worker))
      must(have.complete, `${have.count} of ${layout.count} pieces came`)
    } finally {
      session.send({ t: 'unwant', digest })
      this.#known.delete(digest)
    }
  }

  close(): void {
    this.#pieces.close()
    this.#sessions.close()
  }

  async #fetch({ metainfo, have, asked, session, late }: Fetching): Promise<void> {
    const { digest, layout } = metainfo
    const wanted = { unwanted: asked.bytes.slice(), from: 0, bytes: layout.pieceLength }
    let chosen: number | undefined
    try {
      const answer = await this.#pieces.fetch(this.#parent, digest, wanted, late, (piece) => {
        chosen = piece
        asked.set(piece)
      })
      const { piece, bytes } = answer
      await until(`piece ${piece} is stated`, 10, () => metainfo.known.has(piece), 5)
      must(metainfo.verify(piece, bytes), `piece ${piece} is wrong`)
      have.set(piece)
      session.send({ t: 'got', digest, piece })
      answer.release?.()
    } catch (error) {
      if (chosen !== undefined) asked.clear(chosen)
      const again = error instanceof Failure && (error.code === 'too-many' || error.code === 'no-blob')
      if (!again || late.aborted) throw error
      await Bun.sleep(againMs)
    }
  }

  #heard(frame: Frame): void {
    if (frame.t === 'meta') this.#learn(frame)
  }

  #learn({ digest, first, digests, signer, signature }: FrameOf<'meta'>): void {
    const metainfo = this.#known.get(digest)
    if (!metainfo) return
    const stated = Uint8Array.fromBase64(digests)
    const payload = segmentPayload(digest, metainfo.layout, first, stated)
    const signed = Uint8Array.fromBase64(signature)
    if (!this.#identity.verifySignature(signer, payload, signed)) return
    metainfo.add({ first, digests: stated, signer, signature: signed })
  }
}

interface Fetching {
  readonly metainfo: Metainfo
  readonly have: Bitmap
  /** Here, or on its way. */
  readonly asked: Bitmap
  readonly session: Session
  readonly late: AbortSignal
}
