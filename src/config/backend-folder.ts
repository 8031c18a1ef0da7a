/** Backends of homes that are folders of the node's own host. */
import type { HomeSettings } from './settings.ts'

/** Without a slash at the end. */
export function folderIn(url: URL): string {
  return decodeURIComponent(url.pathname).replace(/(?<=.)\/+$/, '')
}

/** Each once. A URL that is none of a folder is not this function's business. */
export function backendFolders({ patterns }: HomeSettings): string[] {
  const urls = patterns.flatMap(({ backend }) => URL.parse(backend ?? '') ?? [])
  return [...new Set(urls.filter(({ protocol, host }) => /^(?:file|oci):$/.test(protocol) && !host).map(folderIn))]
}
