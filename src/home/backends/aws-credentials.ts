/**
 * Who a node is to an object store: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (with AWS_SESSION_TOKEN) if they are
 * set; else a file as AWS's tools have it, of which the profile counts that AWS_PROFILE names, or `default`. The file is
 * read again when it changed, so that renewed credentials count without a restart.
 */
import { readFile } from 'node:fs/promises'
import { Secret } from '../../config/secret.ts'
import { Failure } from '../../failure.ts'
import { firstThere, type Places, placesOf } from '../../first-there.ts'

export interface AwsCredentials {
  readonly accessKeyId: string
  readonly secretAccessKey: Secret
  readonly sessionToken?: Secret
}

export type Environment = Readonly<Record<string, string | undefined>>

/** `places`: where the file may be. @throws {Failure} `denied` by the result, where there are none */
export function awsCredentials(env: Environment, places: Places): () => Promise<AwsCredentials> {
  const given = fromEnvironment(env)
  if (given) return async () => given
  const profile = env.AWS_PROFILE || 'default'
  let version: string | undefined
  let known: AwsCredentials | undefined
  return async () => {
    const seen = await firstThere(places)
    if (!seen) {
      const where = placesOf(places).join(' or ')
      throw new Failure(
        'denied',
        `there are no credentials for the object store: put them into ${where}, or give --home-credentials-file`,
      )
    }
    if (seen.version !== version) {
      const text = await readFile(seen.path, 'utf8').catch(() => '')
      known = parseAwsCredentials(text, profile)
      version = seen.version
    }
    if (known) return known
    throw new Failure(
      'denied',
      `${seen.path} has no aws_access_key_id and aws_secret_access_key in a profile [${profile}], or cannot be read`,
    )
  }
}

function fromEnvironment(env: Environment): AwsCredentials | undefined {
  return credentialsOf(env.AWS_ACCESS_KEY_ID, env.AWS_SECRET_ACCESS_KEY, env.AWS_SESSION_TOKEN)
}

/** The profile's of a file of `[profile]` sections with `key = value` lines; undefined where it has none. Pure. */
export function parseAwsCredentials(text: string, profile: string): AwsCredentials | undefined {
  const values = new Map<string, string>()
  let inside = false
  for (const line of text.split('\n')) {
    const section = /^\s*\[\s*([^\]]*?)\s*\]/.exec(line)
    if (section) inside = section[1] === profile
    const pair = /^\s*([a-z_]+)\s*=\s*(\S+)\s*$/i.exec(line)
    if (inside && pair) values.set(pair[1]!.toLowerCase(), pair[2]!)
  }
  const of = (name: string) => values.get(`aws_${name}`)
  return credentialsOf(of('access_key_id'), of('secret_access_key'), of('session_token'))
}

function credentialsOf(id: string | undefined, secret: string | undefined, token: string | undefined) {
  if (!id || !secret) return undefined
  return {
    accessKeyId: id,
    secretAccessKey: new Secret(secret),
    ...(token ? { sessionToken: new Secret(token) } : {}),
  }
}
