/** Where `s3://bucket/prefix?endpoint=...&region=...` is. Pure. */
import type { Environment } from './aws-credentials.ts'

export interface S3Where {
  /** `s3://bucket/prefix`: for messages. */
  readonly name: string
  readonly base: URL
  readonly prefix: string
  readonly region: string
}

const known = new Set(['endpoint', 'region', 'style'])

/** @throws {Error} in a sentence that says what to write */
export function s3Place(url: URL, env: Environment): S3Where {
  const bucket = url.hostname
  const name = `s3://${bucket}${url.pathname.replace(/\/+$/, '')}`
  const wrong = (why: string) => new Error(`the backend ${name}: ${why}`)
  if (!/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(bucket))
    throw wrong('a bucket has 3 to 63 of a-z, 0-9, dot and hyphen')
  for (const key of url.searchParams.keys()) {
    if (!known.has(key)) throw wrong(`"${key}" is not known; there are endpoint, region and style=path|host`)
  }
  const folder = url.pathname.replace(/^\/+|\/+$/g, '')
  // Then keys look the same in URLs, in XML and in lists.
  if (!/^[A-Za-z0-9._/-]*$/.test(folder))
    throw wrong('its prefix may have letters, digits, dot, underscore, hyphen and slash')
  const region = url.searchParams.get('region') || env.AWS_REGION || env.AWS_DEFAULT_REGION || 'us-east-1'
  const given = url.searchParams.get('endpoint') || env.AWS_ENDPOINT_URL_S3 || env.AWS_ENDPOINT_URL
  const endpoint = URL.parse(given ?? `https://s3.${region}.amazonaws.com`)
  if (!endpoint || !/^https?:$/.test(endpoint.protocol)) throw wrong('its endpoint is not an http or https URL')
  if (endpoint.username || endpoint.password || endpoint.search)
    throw wrong('its endpoint must not have a login or a ?')
  const style = url.searchParams.get('style') ?? (given === undefined ? 'host' : 'path')
  if (style !== 'path' && style !== 'host') throw wrong('style is path or host')
  const root = endpoint.pathname.replace(/\/+$/, '')
  const base =
    style === 'host'
      ? new URL(`${endpoint.protocol}//${bucket}.${endpoint.host}${root}/`)
      : new URL(`${endpoint.origin}${root}/${bucket}/`)
  return { name, base, prefix: folder === '' ? '' : `${folder}/`, region }
}
