/**
 * Everything one node says to another over HTTP: control requests (JSON bodies) and the frames of a session. The
 * schemas are the codec: what does not fit, in shape or size, never gets past `parse`.
 *
 * A session is one WebSocket between two nodes and carries both directions: who holds which piece of what, live. The
 * pieces themselves travel as plain HTTP responses, so that the kernel sends them from the page cache.
 */
import { z } from 'zod'
import { isNodeId, nodeCardSchema, nodeIdSchema, nodeInfoSchema, nodeListSchema } from '../cluster/node-info.ts'
import { Failure } from '../failure.ts'
import { parseJson } from '../json.ts'
import { type Digest, isDigest } from '../oci/digest.ts'
import { fileAt, isOrigin } from '../oci/file.ts'
import { parseTag, repositoryOf } from '../oci/reference.ts'
import { digestSchema as digest } from '../oci/schemas.ts'
import { mostBlobBytes } from '../piece/layout.ts'
import { wireRules } from './rules.ts'

export const maxControlBytes = 1024 * 1024
export const maxFrameBytes = 512 * 1024

/** Whoever says a size makes others set up as many pieces. */
const size = z.number().int().min(0).max(mostBlobBytes)
const mostPiece = 0xff_ffff
const mostPieces = 8192
const mostDigestBytes = mostPieces * 32
const signatureBytes = 128
const piece = z.number().int().min(0).max(mostPiece)
const pieces = z.array(piece).max(mostPieces)
/** How many private repositories are told of a blob. */
export const mostPrivate = 8
const base64 = (bytes: number) => z.base64().max(Math.ceil(bytes / 3) * 4)
const short = z.string().max(512)

/** A registry's, or a file as {@link fileAt} has it. */
export const repositorySchema = z
  .object({ registry: z.string().max(300), name: z.string().max(2048) })
  .transform((r, ctx) => {
    try {
      return isOrigin(r.registry) ? fileAt(`${r.registry}/${r.name}`) : repositoryOf(r.registry, r.name)
    } catch (error) {
      ctx.addIssue({ code: 'custom', message: (error as Error).message })
      return z.NEVER
    }
  })

const repository = repositorySchema
export const locationSchema = z.object({ repository, kind: z.enum(['manifest', 'blob']), digest })

// ---- sessions ----

/** First frame of either side. `to` is set by the dialling side when it knows whom it means to reach. */
const hello = z.object({
  t: z.literal('hello'),
  node: nodeCardSchema,
  /** The lowest version of the protocol that the sender speaks, and the highest where that is another. */
  protocol: z.number().int().min(1),
  upTo: z.number().int().min(1).optional(),
})
/** Tell me about this blob from now on. Answered by `state` at once if held, and as soon as it is otherwise. */
const want = z.object({ t: z.literal('want'), digest })
const unwant = z.object({ t: z.literal('unwant'), digest })
/** What the sender holds now. `segments` follow in `meta` frames before this frame. */
const state = z.object({
  t: z.literal('state'),
  digest,
  size,
  pieceLength: size,
  mediaType: short.optional(),
  kind: z.enum(['manifest', 'blob']),
  /** The sender reads it from the source: it will have every piece first. */
  feeding: z.boolean(),
  /** It brings only what it is told is needed. */
  part: z.literal(true).optional(),
  /** Bitmap, base64. */
  have: base64(wireRules.bitmapBytes),
  /** Repositories, one of each registry, that have it and are not for anyone: what another registry says of it, it has to show. */
  private: z.array(repository).max(mostPrivate).optional(),
})
/** Pieces that came since `state`. */
const have = z.object({ t: z.literal('have'), digest, pieces })
/**
 * Of a blob that comes to others through the receiver: what the sender waits for, the most urgent first, in place of what it
 * said before; or `all` of it. Where that is already on its way in order, these come before the rest.
 */
const need = z.object({ t: z.literal('need'), digest, pieces, all: z.literal(true).optional() })
/** A piece that the receiver of this frame sent has arrived, or is `dropped`: its link has room for another. */
const got = z.object({ t: z.literal('got'), digest, piece, dropped: z.literal(true).optional() })
/** A piece that the receiver of this frame sent does not have the right bytes: it had better look at its own. */
const wrong = z.object({ t: z.literal('wrong'), digest, piece })
/** A signed run of piece digests, 32 bytes each. */
const meta = z.object({
  t: z.literal('meta'),
  digest,
  size,
  first: piece,
  digests: base64(mostDigestBytes),
  signer: nodeIdSchema,
  signature: base64(signatureBytes),
})
/** The sender no longer holds the blob, or failed to get it from its source. */
const gone = z.object({ t: z.literal('gone'), digest, code: short.optional(), message: short.optional() })

export const frameSchema = z.discriminatedUnion('t', [hello, want, unwant, state, have, need, got, wrong, meta, gone])
export type Frame = z.infer<typeof frameSchema>
export type FrameOf<T extends Frame['t']> = Extract<Frame, { t: T }>

const frameTypes = new Set<unknown>(frameSchema.options.map(({ shape }) => shape.t.value))
const typeOfLater = /^[a-z][a-z-]{0,31}$/

/**
 * Reads the text of a frame that came from another node: undefined for a kind of frame that only later releases know. A
 * swarm says `meta`, `have` and `got` for every piece to every neighbour, a hundred times as often as anything else, and
 * checking those three by hand costs a tenth of what the schema costs.
 * @throws {Failure} `bad-request` that names the field
 */
export function hearFrame(text: string): Frame | undefined {
  const value: unknown = parseJson(text)
  const frame = hotFrame(value)
  if (frame) return frame
  const type: unknown = typeof value === 'object' && value !== null && 't' in value ? value.t : undefined
  if (typeof type === 'string' && typeOfLater.test(type) && !frameTypes.has(type)) return undefined
  return parse(frameSchema, value)
}

/** Undefined for any other frame, and for one that is wrong: what is wrong with it, the schema says. */
function hotFrame(value: unknown): Frame | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  const { t, digest, piece, pieces, dropped } = value as Record<string, unknown>
  if (typeof digest !== 'string' || !isDigest(digest)) return undefined
  if (t === 'got' && isPiece(piece) && dropped === undefined) return { t, digest, piece }
  if (t === 'have' && Array.isArray(pieces) && pieces.length <= mostPieces && pieces.every(isPiece)) {
    return { t, digest, pieces }
  }
  return t === 'meta' ? hotMeta(digest, value as Record<string, unknown>) : undefined
}

function hotMeta(digest: Digest, { size, first, digests, signer, signature }: Record<string, unknown>) {
  if (!Number.isInteger(size) || (size as number) < 0 || (size as number) > mostBlobBytes) return undefined
  if (!isPiece(first) || !isBase64(digests, mostDigestBytes) || !isBase64(signature, signatureBytes)) return undefined
  return isNodeId(signer)
    ? { t: 'meta' as const, digest, size: size as number, first, digests, signer, signature }
    : undefined
}

const base64Text = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

function isBase64(value: unknown, bytes: number): value is string {
  return typeof value === 'string' && value.length <= Math.ceil(bytes / 3) * 4 && base64Text.test(value)
}

function isPiece(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= mostPiece
}

// ---- control ----

/** One blob as its holder announces it to the scheduler that owns its digest. */
export const holdingSchema = z.object({
  digest,
  size,
  /** How many pieces are held; `complete` when all are and the digest was verified. */
  pieces: z.number().int().min(0),
  complete: z.boolean(),
})
export type Holding = z.infer<typeof holdingSchema>

/** `POST /shoal/v1/announce`: heartbeat, and what changed in the digests that the receiver owns. */
export const announceSchema = z.object({
  node: nodeInfoSchema,
  /** Pieces being sent right now and the number at which the node answers "busy". */
  uploads: z.number().int().min(0),
  uploadSlots: z.number().int().min(0),
  /** True: `holdings` is everything the sender holds among the receiver's digests; false: a delta. */
  full: z.boolean(),
  holdings: z.array(holdingSchema).max(4096),
  gone: z.array(digest).max(4096),
  /** The sender ends now. */
  leaving: z.boolean(),
  /** `version` of the members that the receiver listed last. */
  known: z.string().max(64).optional(),
})
export type Announce = z.infer<typeof announceSchema>

export const announceReplySchema = z.object({
  /** The receiver's; when it changes, the next announce is a full one. */
  epoch: z.string().max(64),
  /** The receiver took the sender for gone meanwhile and knows nothing of it: the next announce is a full one. */
  all: z.boolean().optional(),
  /** Names a state of the list of members. */
  version: z.string().max(64).optional(),
  /** Schedulers and seeds the receiver sees alive; left out when they are those of the `known` version. */
  members: nodeListSchema(512).optional(),
  /** Announce this often, in ms, while nothing changes. The usual period unless said. */
  every: z.number().int().min(1000).max(60_000).optional(),
})
export type AnnounceReply = z.infer<typeof announceReplySchema>

/** `POST /shoal/v1/schedule`: whom do I fetch this from? */
export const scheduleSchema = z.object({
  node: nodeInfoSchema,
  location: locationSchema,
  size: size.optional(),
  /** How many pieces the asking node holds already. */
  pieces: z.number().int().min(0),
  /** Parents it has, not to be named again. */
  connected: z.array(nodeIdSchema).max(256),
  /** Parents that failed it since the last request. */
  failed: z
    .array(
      z.object({
        node: nodeIdSchema,
        reason: short,
        /** Code of the failure with which that node gave the blob up, or for which it was left: another may do. */
        refused: short.optional(),
      }),
    )
    .max(256),
  /** Nothing has arrived for a while. */
  stalled: z.boolean(),
  /** It wants some pieces, and tells whoever reads the source which. */
  part: z.boolean().optional(),
  /** The source has just sent the node something of it, be it less than a piece. */
  hears: z.boolean().optional(),
})
export type Schedule = z.infer<typeof scheduleSchema>

export const parentSchema = z.object({ node: nodeCardSchema, pieces: z.number().int().min(0), complete: z.boolean() })
export type Parent = z.infer<typeof parentSchema>

export const scheduleReplySchema = z.object({
  parents: z.array(parentSchema).max(128),
  /** The one node that reads the blob from its source, if the blob is not whole in the cluster yet. */
  fetcher: nodeIdSchema.optional(),
  size: size.optional(),
  /** Another node has all of it, or reads it from the source and gets on: there is no need to read it there too. */
  elsewhere: z.boolean().optional(),
  /** It comes to others through the asking node, which tells its scheduler every second how far it is. */
  leads: z.boolean().optional(),
  /** Ask again after so many ms. */
  again: z.number().int().min(0).max(60_000),
})
export type ScheduleReply = z.infer<typeof scheduleReplySchema>

/**
 * `POST /shoal/v1/fetch`: a scheduler tells a seed to read a blob from its source; or, with `part`, as much of it as others
 * tell it they need. Answered 202. The `size` is what the node that wants it was told: of use where the source does not
 * say it.
 */
export const fetchOrderSchema = z.object({
  location: locationSchema,
  part: z.boolean().optional(),
  size: size.optional(),
})
export type FetchOrder = z.infer<typeof fetchOrderSchema>

export const tagSchema = z.string().transform((text, ctx) => {
  try {
    return parseTag(text)
  } catch (error) {
    ctx.addIssue({ code: 'custom', message: (error as Error).message })
    return z.NEVER
  }
})

/** `POST /shoal/v1/resolve`: which digest does this tag point to? */
const resolveTag = z.object({ repository, tag: tagSchema })
/** The same endpoint: does the repository have this? */
const resolvePart = locationSchema
export const resolveSchema = z.union([resolveTag, resolvePart])
export type ResolveTag = z.infer<typeof resolveTag>
export type Resolve = z.infer<typeof resolveSchema>

export const resolveReplySchema = z.object({
  digest,
  mediaType: short,
  size,
  /** Age of the answer in ms; more than the tag TTL only when the source is unreachable. */
  age: z.number().min(0),
  /** How long ago the source gave something of the repository to a client without credentials, in ms. */
  open: z.number().min(0).optional(),
  /** The same by the sender's logins, which its operator lets count for clients that run as root. */
  shared: z.number().min(0).optional(),
})
export type ResolveReply = z.infer<typeof resolveReplySchema>

/** Parses a body or frame. @throws {Failure} `bad-request` that names the field */
export function parse<T>(schema: z.ZodType<T>, value: unknown): T {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const issue = result.error.issues[0]
  throw new Failure('bad-request', `${issue?.path.join('.') || 'message'}: ${issue?.message ?? 'malformed'}`)
}
