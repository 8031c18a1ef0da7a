/** `Content-Range: bytes 0-99/1000`, RFC 9110 section 14.4. */
export interface ContentRange {
  readonly start: number
  /** Exclusive. */
  readonly end: number
  /** Undefined where the server wrote `*`. */
  readonly size: number | undefined
}

/** Undefined for what is malformed, contradicts itself or states no range. */
export function parseContentRange(header: string | null): ContentRange | undefined {
  const match = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)$/.exec(header?.trim() ?? '')
  if (!match) return undefined
  const start = Number(match[1])
  const end = Number(match[2]) + 1
  const size = match[3] === '*' ? undefined : Number(match[3])
  return start < end && (size === undefined || end <= size) ? { start, end, size } : undefined
}

/** The value of Content-Length; undefined where it is missing or not a length. */
export function parseContentLength(header: string | null): number | undefined {
  return header !== null && /^\d{1,15}$/.test(header.trim()) ? Number(header) : undefined
}
