/**
 * Everything that can go wrong on the way to an answer, in one table: what a client sees (OCI distribution code and
 * HTTP status) and whether trying again may help. The registry renders them; nobody else chooses a status.
 */
interface Kind {
  /** OCI distribution error code, spec section "Error Codes". */
  readonly oci: string
  readonly status: number
  readonly retry: boolean
}

const kinds = {
  'bad-name': { oci: 'NAME_INVALID', status: 400, retry: false },
  'bad-digest': { oci: 'DIGEST_INVALID', status: 400, retry: false },
  'bad-reference': { oci: 'MANIFEST_INVALID', status: 400, retry: false },
  'bad-request': { oci: 'UNSUPPORTED', status: 400, retry: false },
  'bad-range': { oci: 'BLOB_UPLOAD_INVALID', status: 416, retry: false },
  'read-only': { oci: 'UNSUPPORTED', status: 405, retry: false },
  /** An endpoint of the API that a mirror has no answer for. */
  unsupported: { oci: 'UNSUPPORTED', status: 404, retry: false },
  /** An upload that never was, has ended, or is of another repository. */
  'no-upload': { oci: 'BLOB_UPLOAD_UNKNOWN', status: 404, retry: false },
  'bad-upload': { oci: 'BLOB_UPLOAD_INVALID', status: 400, retry: false },
  'bad-manifest': { oci: 'MANIFEST_INVALID', status: 400, retry: false },
  /** A manifest was pushed before what it names. */
  'missing-parts': { oci: 'MANIFEST_BLOB_UNKNOWN', status: 400, retry: false },
  'too-large': { oci: 'SIZE_INVALID', status: 413, retry: false },
  /** Not on this host; on a larger one, perhaps. */
  'host-too-small': { oci: 'UNAVAILABLE', status: 404, retry: false },
  /** Whoever it is may not do that here. Never for pulls. */
  forbidden: { oci: 'DENIED', status: 403, retry: false },
  /** It cannot be taken now. Never for pulls. */
  'try-later': { oci: 'UNAVAILABLE', status: 503, retry: true },
  'no-blob': { oci: 'BLOB_UNKNOWN', status: 404, retry: false },
  'no-manifest': { oci: 'MANIFEST_UNKNOWN', status: 404, retry: false },
  'no-name': { oci: 'NAME_UNKNOWN', status: 404, retry: false },
  /** The source wants other credentials than this node has. 404, so that an engine goes to the registry by itself. */
  denied: { oci: 'DENIED', status: 404, retry: false },
  /** The source does not give it to a client that showed no credentials; clients that have some show them then. */
  unauthorized: { oci: 'UNAUTHORIZED', status: 401, retry: false },
  /** Another node asked without a ticket that admits it. Never for engines. */
  'not-admitted': { oci: 'UNAUTHORIZED', status: 401, retry: false },
  /** This node may not talk to that registry. */
  'not-listed': { oci: 'NAME_UNKNOWN', status: 404, retry: false },
  /** Nothing can serve it now: source, seeds and peers are out of reach. 404 for the same reason. */
  unavailable: { oci: 'UNAVAILABLE', status: 404, retry: true },
  /** To engines that read this is 404 as well, with how long to wait: see `registry/errors.ts`. */
  'too-many': { oci: 'TOOMANYREQUESTS', status: 429, retry: true },
  /**
   * Bytes did not have the digest they were promised to have. 404 for the same reason: to any other status dockerd
   * comes back with the same request five times, waiting longer each time, before it goes to the registry.
   */
  corrupt: { oci: 'DIGEST_INVALID', status: 404, retry: true },
  'no-space': { oci: 'UNAVAILABLE', status: 404, retry: true },
  /** The disk of this node takes nothing, and not for want of room: it is read-only, or broken. */
  'no-disk': { oci: 'UNAVAILABLE', status: 404, retry: true },
  /** An operator asked that it stays. */
  pinned: { oci: 'DENIED', status: 409, retry: false },
  /** A file is being read to find out its digest: who asks again is told it later. */
  reading: { oci: 'READING', status: 503, retry: true },
  cancelled: { oci: 'UNAVAILABLE', status: 404, retry: true },
  internal: { oci: 'UNAVAILABLE', status: 500, retry: false },
} as const satisfies Record<string, Kind>

export type FailureCode = keyof typeof kinds

const turningAway: ReadonlySet<string> = new Set<FailureCode>([
  'denied',
  'unauthorized',
  'no-blob',
  'no-manifest',
  'no-name',
  'not-listed',
])

/**
 * A source, or the settings of a node, do not give it to that node: asked again soon, it hears the same, and another node
 * perhaps not. For codes that another node sent too.
 */
export function turnsAway(code: string | undefined): boolean {
  return code !== undefined && turningAway.has(code)
}

/** For codes that another node sent. */
export function isFailureCode(text: string): text is FailureCode {
  return Object.hasOwn(kinds, text)
}

export class Failure extends Error {
  override readonly name = 'Failure'
  readonly code: FailureCode
  /** What to tell a machine beside the sentence: the status a source gave, how long it asks to wait (ms), ... */
  readonly detail: Readonly<Record<string, string | number>>

  constructor(
    code: FailureCode,
    message: string,
    options: { cause?: unknown; detail?: Record<string, string | number> } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.detail = options.detail ?? {}
  }

  get status(): number {
    return kinds[this.code].status
  }
  get oci(): string {
    return kinds[this.code].oci
  }
  /** The bytes are to be had; it is this node that cannot keep them. */
  get unkept(): boolean {
    return this.code === 'no-space' || this.code === 'no-disk'
  }
  get retry(): boolean {
    return kinds[this.code].retry
  }

  /** The failure itself, or anything else that was thrown wrapped as `internal`. */
  static from(error: unknown): Failure {
    if (error instanceof Failure) return error
    const message = error instanceof Error ? error.message : String(error)
    return new Failure('internal', message, { cause: error })
  }
}
