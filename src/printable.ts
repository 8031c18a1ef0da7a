/**
 * Text that others have said, where people read it: a terminal would do what some characters say (ECMA-48: C0 and C1), as
 * clearing its screen or answering as if somebody typed. None is refused for that, for the rest of it may matter. Pure.
 */
import { z } from 'zod'

/** With such characters, but for ends of lines and tabs, as they are written in JSON, so that JSON says what it said. */
export function printable(text: string): string {
  return text.replaceAll(/(?![\n\t])\p{Cc}/gu, (sign) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

/** A line that another node says, without them: its end would begin another line, which would seem to be one's own. */
export function plainText(most = Number.MAX_SAFE_INTEGER) {
  return z
    .string()
    .max(most)
    .transform((text) => text.replaceAll(/\p{Cc}/gu, '?'))
}
