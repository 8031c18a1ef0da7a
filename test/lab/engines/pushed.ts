/** The digest under which a registry has an image: what engines must report, whatever they pulled it through. */
import { type Digest, digestOf } from '../../../src/oci/digest.ts'
import type { Host } from '../host.ts'

/** `reference` as in `127.0.0.1:5000/app:v1`, seen from the host. */
export async function pushedDigest(host: Host, reference: string): Promise<Digest> {
  const manifest = await host.exec(['skopeo', 'inspect', '--raw', '--tls-verify=false', `docker://${reference}`])
  return digestOf(new TextEncoder().encode(manifest))
}
