/**
 * The certificate of a node: a key pair of its own, made at each start and kept in memory, and in an extension the public
 * node key with its signature over that key pair's. The form is libp2p's (specs/tls/tls.md, "Peer Authentication").
 *
 * The library wants `reflect-metadata` to be there before it: whoever imports this file imports that first.
 */
import { isIP } from 'node:net'
import * as x509 from '@peculiar/x509'
import type { Identity } from '../cluster/identity.ts'
import type { NodeId } from '../cluster/node-info.ts'
import type { ServerCertificate } from './encryption.ts'

/** libp2p's arc, as that specification has it. */
const extension = '1.3.6.1.4.1.53594.1.1'
const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const
const words = new TextEncoder().encode('shoal-tls:')

type Verify = (node: NodeId, bytes: Uint8Array, signature: Uint8Array) => boolean

/** @param host that others reach this node at */
export async function makeCertificate(identity: Identity, host: string): Promise<ServerCertificate> {
  const keys = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
  const publicKey = new Uint8Array(await crypto.subtle.exportKey('spki', keys.publicKey))
  const claim = new TextEncoder().encode(`${identity.id} ${identity.sign(signed(publicKey)).toBase64()}`)
  const certificate = await x509.X509CertificateGenerator.createSelfSigned(
    {
      serialNumber: '01',
      name: 'CN=shoal',
      // Hosts whose clocks are wrong should find that out by their tickets; what is trusted is this very certificate.
      notBefore: new Date(0),
      notAfter: new Date(Date.UTC(2100, 0, 1)),
      keys,
      signingAlgorithm: algorithm,
      extensions: [
        new x509.SubjectAlternativeNameExtension([{ type: isIP(host) ? 'ip' : 'dns', value: host }]),
        new x509.Extension(extension, false, claim),
      ],
    },
    crypto,
  )
  const key = x509.PemConverter.encode(await crypto.subtle.exportKey('pkcs8', keys.privateKey), 'PRIVATE KEY')
  return { cert: certificate.toString('pem'), key }
}

/** The node that a certificate proves to be of; `undefined` when it proves nothing. */
export function ownerOf(der: Uint8Array, verify: Verify): NodeId | undefined {
  try {
    const certificate = new x509.X509Certificate(Uint8Array.from(der))
    const claim = certificate.getExtension(extension)?.value
    const [node = '', signature = ''] = new TextDecoder().decode(claim).split(' ')
    const publicKey = new Uint8Array(certificate.publicKey.rawData)
    return verify(node, signed(publicKey), Uint8Array.fromBase64(signature)) ? node : undefined
  } catch {
    return undefined
  }
}

function signed(publicKey: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(words.length + publicKey.length)
  bytes.set(words)
  bytes.set(publicKey, words.length)
  return bytes
}
