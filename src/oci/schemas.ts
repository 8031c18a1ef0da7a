/** What the formats of the OCI have in common, for whoever checks what others wrote. */
import { z } from 'zod'
import { type Digest, isDigest } from './digest.ts'

/** A digest, as {@link isDigest} has it. */
export const digestSchema = z.custom<Digest>((value) => typeof value === 'string' && isDigest(value), 'not a digest')
