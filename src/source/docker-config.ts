/** Docker's `config.json`: which part of it says how to log in to a registry. Pure; reading it is `credentials.ts`. */
import { z } from 'zod'
import { Secret } from '../config/secret.ts'
import { dockerHub } from '../oci/reference.ts'

/** How to prove who asks. */
export type Credential =
  | { readonly kind: 'basic'; readonly username: string; readonly password: Secret }
  /** An OAuth2 refresh token, exchanged for access tokens. */
  | { readonly kind: 'identity'; readonly token: Secret }
  /** Sent as it is: `Authorization: Bearer`. */
  | { readonly kind: 'registry'; readonly token: Secret }

const entrySchema = z.object({
  auth: z.string().optional(),
  username: z.string().optional(),
  password: z.string().optional(),
  identitytoken: z.string().optional(),
  registrytoken: z.string().optional(),
})

const configSchema = z.object({
  auths: z.record(z.string(), entrySchema).optional(),
  credsStore: z.string().optional(),
  credHelpers: z.record(z.string(), z.string()).optional(),
})
export type DockerConfig = z.infer<typeof configSchema>

/** Docker Hub's key in `config.json`, since the days of its first registry. */
const hubKey = 'https://index.docker.io/v1/'

/** Undefined for what is not such a file. The reason is not told: a parser's message quotes what it stumbles over. */
export function parseDockerConfig(text: string): DockerConfig | undefined {
  try {
    return configSchema.safeParse(JSON.parse(text)).data
  } catch {
    return undefined
  }
}

/** The `X` of the `docker-credential-X` that keeps this account, and the server name to ask it for. */
export function helperFor(config: DockerConfig, account: string): { helper: string; server: string } | undefined {
  const server = account === dockerHub ? hubKey : account
  const own = Object.entries(config.credHelpers ?? {}).find(([key]) => accountOf(key) === account)
  const helper = own?.[1] ?? config.credsStore
  return helper === undefined || helper === '' ? undefined : { helper, server: own?.[0] ?? server }
}

/** What the file itself holds for an account: a registry's host and perhaps port, `docker.io` for Docker Hub. */
export function entryFor(config: DockerConfig, account: string): Credential | undefined {
  const entries = Object.entries(config.auths ?? {}).filter(([key]) => accountOf(key) === account)
  for (const [, entry] of entries) {
    if (entry.registrytoken) return { kind: 'registry', token: new Secret(entry.registrytoken) }
    if (entry.identitytoken) return { kind: 'identity', token: new Secret(entry.identitytoken) }
    const decoded = entry.auth ? Buffer.from(entry.auth, 'base64').toString('utf8') : ''
    const colon = decoded.indexOf(':')
    const username = colon > 0 ? decoded.slice(0, colon) : entry.username
    // Docker pads old entries with NUL bytes.
    const password = colon > 0 ? decoded.slice(colon + 1).replace(/\0+$/, '') : entry.password
    if (username && password) return basic(username, password)
  }
  return undefined
}

/** What a helper says about an account: JSON with `Username` and `Secret`; `<token>` marks an identity token. */
export function credentialOfHelper(output: string): Credential | undefined {
  const parsed = z.object({ Username: z.string(), Secret: z.string().min(1) }).safeParse(parseJson(output))
  if (!parsed.success) return undefined
  const { Username, Secret: secret } = parsed.data
  return Username === '<token>' ? { kind: 'identity', token: new Secret(secret) } : basic(Username, secret)
}

function basic(username: string, password: string): Credential {
  return { kind: 'basic', username, password: new Secret(password) }
}

/** `https://ghcr.io/v2/` → `ghcr.io`; the keys that Docker and its forerunners wrote. */
function accountOf(key: string): string {
  const host = key
    .replace(/^https?:\/\//, '')
    .replace(/\/.*$/, '')
    .toLowerCase()
  return host === 'index.docker.io' || host === 'registry-1.docker.io' ? dockerHub : host
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
