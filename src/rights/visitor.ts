/** Who asks at the registry port, as far as that can be told. */
import { createHmac } from 'node:crypto'
import { Secret } from '../config/secret.ts'
import type { Credential } from '../source/docker-config.ts'

export interface Visitor {
  /** It showed credentials, good or bad ones: then it is nobody but who it says. */
  readonly shown: boolean
  /** What it showed; undefined also for what cannot be understood. */
  readonly credential: Credential | undefined
  /** It runs on this host as root or as the node's own user: it could read this node's logins by itself. */
  trusted(): Promise<boolean>
}

/**
 * Reads an Authorization header: RFC 7617 Basic, RFC 6750 Bearer. The library of podman and skopeo sends an empty user
 * and password when it is told that Basic is understood and has nothing to show.
 */
export function visitorOf(header: string | undefined, trusted: () => Promise<boolean>): Visitor {
  const [, scheme, value] = /^\s*(basic|bearer)\s+(\S+)\s*$/i.exec(header ?? '') ?? []
  if (value === undefined)
    return { shown: header !== undefined && header.trim() !== '', credential: undefined, trusted }
  if (scheme?.toLowerCase() === 'bearer') {
    return { shown: true, credential: { kind: 'registry', token: new Secret(value) }, trusted }
  }
  const text = Buffer.from(value, 'base64').toString('utf8')
  if (text === ':') return { shown: false, credential: undefined, trusted }
  const colon = text.indexOf(':')
  const credential: Credential | undefined =
    colon > 0
      ? { kind: 'basic', username: text.slice(0, colon), password: new Secret(text.slice(colon + 1)) }
      : undefined
  return { shown: true, credential, trusted }
}

/** Names a credential without telling it: by a keyed hash, whose key nobody else has and that is not kept. */
export function nameOf(credential: Credential, key: Uint8Array): string {
  const hash = createHmac('sha256', key)
  if (credential.kind === 'basic') hash.update(JSON.stringify([credential.username, credential.password.reveal()]))
  else hash.update(`${credential.kind} ${credential.token.reveal()}`)
  return hash.digest('base64')
}
