/** Which of the images in an index is meant. Pure. */
import { Failure } from '../failure.ts'
import type { Descriptor } from '../oci/media.ts'

/** `linux/amd64`, `linux/arm/v7`; `all`: every one of them. */
export type Platform = string

const pattern = /^[a-z0-9]+\/[a-z0-9_]+(?:\/[a-z0-9.]+)?$/
/** As OCI names architectures: GOARCH. */
const architectures: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64', ia32: '386' }

/** What engines on this host would run. */
export function platformOf(architecture: string): Platform {
  return `linux/${architectures[architecture] ?? architecture}`
}

export function isPlatform(text: string): boolean {
  return text === 'all' || pattern.test(text)
}

/**
 * The image for a platform. Who names no variant gets the one without, or else the first: there is one `linux/arm64`,
 * which some call `linux/arm64/v8`.
 * @throws {Failure} `no-manifest` with those that there are
 */
export function choose(manifests: readonly Descriptor[], platform: Platform): Descriptor {
  const exact = manifests.find((manifest) => manifest.platform === platform)
  const found = exact ?? manifests.find((manifest) => manifest.platform?.startsWith(`${platform}/`))
  if (found) return found
  const [os, architecture, variant] = platform.split('/')
  const bare = variant === undefined ? undefined : `${os}/${architecture}`
  const plain = manifests.find((manifest) => manifest.platform === bare && bare !== undefined)
  if (plain) return plain
  const there = manifests.flatMap((manifest) => manifest.platform ?? []).filter((name) => !name.startsWith('unknown'))
  throw new Failure(
    'no-manifest',
    `there is no image for ${platform}; --platform takes ${[...new Set(there), 'all'].join(', ')}`,
  )
}
