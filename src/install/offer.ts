/** The installer as a running node offers it: with its own binary, its version, and what joins its cluster. Pure. */
import { installer } from './bundled.ts'

export interface Offer {
  /** Where the binary is had from. */
  readonly url: string
  readonly sha256: string
  /** `linux-x64`, as release files are named. */
  readonly platform: string
  readonly version: string
  /** For `shoal install` on a host that has no settings yet. */
  readonly flags: readonly string[]
  /** The cluster has a key, which is not given away. */
  readonly keyed: boolean
}

const place = /^offer_url=''.*$/m

export function installerWith({ url, sha256, platform, version, flags, keyed }: Offer): string {
  const values = { url, sha256, platform, version, flags: flags.join(' '), keyed: keyed ? 'yes' : '' }
  const line = Object.entries(values).map(([name, value]) => `offer_${name}=${quoted(value)}`)
  return installer.replace(place, () => line.join(' '))
}

/** For a POSIX shell. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`
}

/** What lets another host into this cluster; the key aside. Node addresses are multiaddrs. */
export function joiningFlags(p2p: readonly string[], encrypted: boolean): string[] {
  // Words for a shell: an address has none of the characters that would make two of one.
  const addresses = p2p.filter((address) => /^[\w./:-]+$/.test(address))
  return [...(addresses.length > 0 ? ['--join', addresses.join(',')] : []), ...(encrypted ? ['--encrypt'] : [])]
}
