/**
 * The call that moves the bytes, past the router and its middleware: a gigabyte is a thousand or two of them, and what is
 * done for each is most of what a node pays for sending beside the kernel's own work. The rules are those of every other
 * call: admitted first, capped, a refusal is a {@link Failure}.
 */
import type { NodeId } from '../cluster/node-info.ts'
import { Refusal } from '../cluster/tickets.ts'
import { Failure } from '../failure.ts'
import { parseDigest } from '../oci/digest.ts'
import type { Guest } from './admission.ts'
import { cardHeaders, cardIn } from './card.ts'
import { type PeerAppOptions, type PeerServer, render } from './peer-app.ts'
import { headers, wireRules } from './rules.ts'
import { Elsewhere, type PieceOnDisk, type PieceOnItsWay, type WantedPieces } from './wire.ts'

export type PieceDeskOptions = Pick<
  PeerAppOptions,
  'inbound' | 'admit' | 'refused' | 'uploads' | 'intake' | 'clock' | 'log' | 'metrics'
>

/** A request with what its path says: `digest` and `list`, which is `any` or numbers of pieces. */
export type PieceRequest = Request & { readonly params: { readonly digest: string; readonly list: string } }

export class PieceDesk {
  readonly #o: PieceDeskOptions

  constructor(options: PieceDeskOptions) {
    this.#o = options
  }

  async answer(request: PieceRequest, server: Pick<PeerServer, 'requestIP'>): Promise<Response> {
    const { inbound, admit, refused, uploads, intake, clock, log } = this.#o
    const from = server.requestIP(request)
    const connection = from ? `${from.address} ${from.port}` : ''
    let leave = uploads.enter(connection)
    let guest: Guest | undefined
    let letGo = () => {}
    try {
      letGo = intake.host(from?.address ?? 'localhost')
      guest = admit(request)
      const { params, signal } = request
      const digest = parseDigest(params.digest)
      const wanted = wantedOf(params.list, request.headers, guest.sender)
      uploads.settle()
      const ready = inbound()
      if (!ready) throw new Failure('too-many', 'this node is still starting')
      const coming = wanted.coming && (await ready.passOn(digest, wanted, guest.sender, signal))
      if (coming) {
        const [done, left] = [letGo, leave]
        // Both are done with when the last byte is.
        letGo = leave = () => {}
        void coming.over.then((sent) => {
          done()
          left()
          if (sent) this.#o.metrics?.peerSentBytes.inc(coming.length)
        })
        return passedOn(coming, clock.wall())
      }
      const offer = await ready.offer(digest, wanted, guest.sender, signal)
      const bytes = offer.end - offer.start
      const done = letGo
      // This is done with it, and the connection is not.
      letGo = () => {}
      uploads.begin(connection, signal, leave, (sent) => {
        done()
        if (sent) this.#o.metrics?.peerSentBytes.inc(bytes)
        offer.done(sent)
      })
      return pieceOf(offer, clock.wall())
    } catch (error) {
      if (error instanceof Refusal) refused(error, request.headers.get(headers.node))
      const answer = render(Failure.from(error), log, guest)
      if (error instanceof Elsewhere) {
        answer.headers.set(headers.piece, String(error.piece))
        answer.headers.set(headers.elsewhere, error.node.id)
        for (const [name, value] of Object.entries(cardHeaders(error.node))) answer.headers.set(name, value)
      }
      return answer
    } finally {
      letGo()
      leave()
    }
  }
}

/** In chunks, of which the runtime makes one of whatever is there: it sends no stream with a length. */
function passedOn({ piece, length, body }: PieceOnItsWay, now: number): Response {
  return new Response(body, {
    headers: {
      'content-type': 'application/octet-stream',
      [headers.piece]: String(piece),
      [headers.length]: String(length),
      date: new Date(now).toUTCString(),
    },
  })
}

function pieceOf({ path, piece, start, end }: PieceOnDisk, now: number): Response {
  const bytes = String(end - start)
  return new Response(Bun.file(path).slice(start, end), {
    // Said outright, the runtime does not make a 206 of a slice by itself.
    status: 200,
    headers: {
      'content-type': 'application/octet-stream',
      'content-length': bytes,
      [headers.piece]: String(piece),
      [headers.length]: bytes,
      // What the runtime adds by itself it sends by itself: four packets more for each piece, as small as they get
      // (`strace -e sendto`).
      date: new Date(now).toUTCString(),
    },
  })
}

/** `3,17,4`, or `any` and a bitmap in a header. @throws {Failure} `bad-request` */
function wantedOf(list: string, said: Headers, sender: NodeId | undefined): WantedPieces {
  const follows = sender !== undefined && said.get(headers.follow) !== null
  const follow = follows ? cardIn(sender, (name) => said.get(name)) : undefined
  const how = {
    background: said.get(headers.background) !== null,
    ...(follow && { follow }),
    coming: said.get(headers.coming) !== null,
  }
  if (list !== 'any') return { pieces: parseCandidates(list), ...how }
  const from = said.get(headers.from) ?? '0'
  try {
    const unwanted = Uint8Array.fromBase64(said.get(headers.unwanted) ?? '')
    if (unwanted.length <= wireRules.bitmapBytes && /^\d{1,8}$/.test(from)) {
      return { unwanted, from: Number(from), ...how }
    }
  } catch {
    // Told below, like a bitmap that is too long.
  }
  throw new Failure(
    'bad-request',
    `${headers.unwanted} is not a bitmap in base64, or ${headers.from} is not the index of a piece`,
  )
}

export function parseCandidates(list: string): number[] {
  const parts = list.split(',')
  if (parts.length > wireRules.candidates) throw new Failure('bad-request', 'too many pieces are asked for at once')
  return parts.map((part) => {
    if (!/^\d{1,8}$/.test(part)) throw new Failure('bad-request', `"${part.slice(0, 20)}" is not the index of a piece`)
    return Number(part)
  })
}
