/**
 * A file at a URL, as the rest of the program sees it: a repository of its own that has one blob at a time. Its registry
 * is the URL's origin, and as no registry's name has a scheme, the two cannot be taken for each other.
 */
import { Failure } from '../failure.ts'
import type { Repository } from './reference.ts'

/** As long as a request line can be. */
const longestUrl = 1800

/** @throws {Failure} `bad-request` for what is no URL that every node may see and ask for */
export function fileAt(text: string): Repository {
  const url = URL.parse(text)
  if (!url || (url.protocol !== 'https:' && url.protocol !== 'http:')) throw bad(text, 'not an http or https URL')
  if (url.username !== '' || url.password !== '') throw bad(url.origin, 'other nodes would see the login in it')
  url.hash = ''
  if (url.href.length > longestUrl) throw bad(url.origin, `longer than ${longestUrl} bytes`)
  return { registry: url.origin, name: url.href.slice(url.origin.length + 1) }
}

/** The URL of a file; undefined for a repository of a registry. */
export function urlOfFile({ registry, name }: Repository): URL | undefined {
  return isOrigin(registry) ? new URL(`${registry}/${name}`) : undefined
}

export function isOrigin(registry: string): boolean {
  return registry.includes('://')
}

function bad(text: string, why: string): Failure {
  return new Failure('bad-request', `"${text.slice(0, 160)}" cannot be had: ${why}`)
}
