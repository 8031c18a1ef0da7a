/** Who is it that wants to write, and may they? */
import { Failure } from '../failure.ts'
import type { Users } from './users.ts'

/** A client, as the registry port sees it. */
export interface Writer {
  /** Its Authorization header; that of what a token stands for. */
  readonly authorization: string | undefined
  /** On this host. */
  readonly local: boolean
  /** A web page has it sent. */
  readonly browser: boolean
}

/** Name of who may write. @throws {Failure} `unauthorized`, `forbidden`, `too-many` */
export async function writerName({ authorization, local, browser }: Writer, users: Users | undefined): Promise<string> {
  // A page that somebody on this host looks at could push in their name.
  if (browser) throw new Failure('forbidden', 'web pages do not push')
  if (!users) {
    if (local) return 'local'
    throw new Failure('forbidden', 'only clients on its own host push to this node; --push-users-file lets others')
  }
  const login = basicLogin(authorization)
  if (!login) throw new Failure('unauthorized', 'who pushes shows a login: docker login, podman login, skopeo login')
  if (await users.verify(login.name, login.password)) return login.name
  throw new Failure('unauthorized', 'this is not the login of anybody who may push here')
}

/** RFC 7617 */
export function basicLogin(header: string | undefined): { name: string; password: string } | undefined {
  const value = /^basic\s+(\S+)\s*$/i.exec(header ?? '')?.[1]
  if (value === undefined) return undefined
  const text = Buffer.from(value, 'base64').toString('utf8')
  const colon = text.indexOf(':')
  return colon > 0 ? { name: text.slice(0, colon), password: text.slice(colon + 1) } : undefined
}
