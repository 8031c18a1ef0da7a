/**
 * The Link header of a paged answer (OCI distribution spec, "Listing Tags"). It becomes a path below `/v2/` without a
 * host, because the next page is to be asked of this node too; clients differ in how they resolve a shorter form.
 */
import type { Upstream } from './upstreams.ts'

/** Undefined when the next page is not one of the same listing, and so nothing a client should be sent to. */
export function relativeLink(upstream: Upstream, asked: URL, header: string): string | undefined {
  const match = /^\s*<([^<>]{1,4096})>\s*((?:;[^,<>]*)?)\s*$/.exec(header)
  const url = match ? URL.parse(match[1]!, asked.href) : null
  if (!match || !url || url.origin !== upstream.origin || url.pathname !== asked.pathname) return undefined
  return `</v2${asked.href.slice(upstream.base.length).replace(/[?#].*$/, '')}${url.search}>${match[2]}`
}
