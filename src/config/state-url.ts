/** Where a shared PostgreSQL is: `postgres://shoal@db.corp/shoal`, as libpq reads it, without a password. */

/** How sure a client is whom it speaks to, the words of libpq. */
const sslModes = ['disable', 'prefer', 'require', 'verify-ca', 'verify-full'] as const
export type SslMode = (typeof sslModes)[number]

export interface StateUrl {
  /** A host; a path for the folder of a unix socket. */
  readonly host: string
  readonly port: number
  readonly user: string
  readonly database: string
  readonly sslMode?: SslMode
}

export const stateUrlExpected =
  'postgres://USER@HOST[:PORT]/DATABASE[?sslmode=verify-full], or postgres://USER@localhost/DATABASE?host=/run/postgresql for a socket; ' +
  'the password belongs in --state-password-file'

/** Undefined for what is none, and for one with a password: flags and variables are seen by others. */
export function parseStateUrl(text: string): StateUrl | undefined {
  const url = URL.parse(text)
  if (!url || !/^postgres(?:ql)?:$/.test(url.protocol) || url.password || url.hash) return undefined
  const said = [...url.searchParams.keys()]
  if (said.some((name) => name !== 'sslmode' && name !== 'host')) return undefined
  const socket = url.searchParams.get('host')
  const sslMode = sslModes.find((mode) => mode === url.searchParams.get('sslmode'))
  if (url.searchParams.has('sslmode') && !sslMode) return undefined
  if (socket !== null && (!socket.startsWith('/') || url.hostname !== 'localhost')) return undefined
  const host = socket ?? url.hostname.replace(/^\[(.*)\]$/, '$1')
  const user = decoded(url.username)
  const database = decoded(url.pathname.slice(1))
  if (!host || !user || !database || database.includes('/')) return undefined
  return { host, port: Number(url.port || 5432), user, database, ...(sslMode ? { sslMode } : {}) }
}

/** For logs and `status`. */
export function formatStateUrl({ host, port, user, database }: StateUrl): string {
  const who = `${encodeURIComponent(user)}@`
  if (host.startsWith('/')) return `postgres://${who}localhost/${database}?host=${host}`
  return `postgres://${who}${host.includes(':') ? `[${host}]` : host}${port === 5432 ? '' : `:${port}`}/${database}`
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}
