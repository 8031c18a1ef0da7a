import { Failure } from '../failure.ts'

declare const brand: unique symbol
/** `sha256:` or `sha512:` and lower-case hex, as the OCI image spec's "Digests" registers them. */
export type Digest = string & { readonly [brand]: 'Digest' }
export type Algorithm = 'sha256' | 'sha512'

const pattern = /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/

export function isDigest(text: string): text is Digest {
  return pattern.test(text)
}

/** @throws {Failure} `bad-digest` */
export function parseDigest(text: string): Digest {
  if (isDigest(text)) return text
  throw new Failure('bad-digest', `"${text.slice(0, 160)}" is not a digest: expected sha256:<64 hex digits>`)
}

export function algorithmOf(digest: Digest): Algorithm {
  return digest.startsWith('sha512:') ? 'sha512' : 'sha256'
}

export function hexOf(digest: Digest): string {
  return digest.slice(7)
}

export function digestOf(bytes: Uint8Array, algorithm: Algorithm = 'sha256'): Digest {
  return `${algorithm}:${new Bun.CryptoHasher(algorithm).update(bytes).digest('hex')}` as Digest
}

/** `sha256:0123456789ab`, for logs and tables. */
export function shortDigest(digest: Digest): string {
  return digest.slice(0, 19)
}
