/**
 * Traffic between nodes over TLS. Each node has a certificate of its own making that says, signed with its node key, which
 * node it is of; so the certificate that a peer port presents is enough to know whose port it is, no authority and no
 * directory needed. It is looked at once, before anything is said, and from then on nothing but that very certificate is
 * trusted for that node, until a connection fails: a node that starts anew has a new one.
 *
 * Nodes that encrypt and nodes that do not do not speak with each other.
 */

import type { Clock } from '../clock.ts'
import type { Identity } from '../cluster/identity.ts'
import type { NodeCard, NodeId } from '../cluster/node-info.ts'
import { Failure } from '../failure.ts'
import { lru } from '../lru.ts'
import { deadline } from './deadline.ts'
import { wireRules } from './rules.ts'

/** What a client of the runtime takes: the one certificate to be trusted. */
export interface Trust {
  readonly ca: string
}

/** PEM. */
export interface ServerCertificate {
  readonly cert: string
  readonly key: string
}

export interface Encryption {
  readonly on: boolean
  /** What the peer port presents of a node that others reach at `host`; undefined where nothing is encrypted. */
  certificate(host: string): Promise<ServerCertificate | undefined>
  /**
   * Undefined, at once, where nothing is encrypted.
   * @throws {Failure} `unavailable` when one of the two nodes encrypts and the other does not, or it is not that node
   */
  trust(node: NodeCard): Promise<Trust | undefined> | undefined
  /** A connection failed. */
  forget(node: NodeCard): void
}

const mostPins = 16_384

export const plain: Encryption = {
  on: false,
  certificate: async () => undefined,
  trust(node) {
    if (!encrypts(node)) return undefined
    throw new Failure('unavailable', `node ${node.id} encrypts, and this one does not: ${remedy}`)
  },
  forget() {},
}

const remedy = 'give --encrypt to all nodes of a cluster, or to none'

export function encrypts(node: Pick<NodeCard, 'url'>): boolean {
  return node.url.startsWith('https:')
}

/** Why the two cannot speak with each other, if they cannot. */
export function mismatch(self: NodeCard, other: NodeCard): string | undefined {
  if (encrypts(self) === encrypts(other)) return undefined
  return `${encrypts(self) ? 'this node encrypts, and that one does not' : 'that node encrypts, and this one does not'}: ${remedy}`
}

export async function encrypt(identity: Identity, clock: Clock): Promise<Encryption> {
  // Loaded by those who encrypt alone, and one after the other: a bundle would put them in an order of its own.
  await import('reflect-metadata')
  const { makeCertificate, ownerOf } = await import('./certificate.ts')
  const pins = lru<string, Trust>(mostPins)
  const looks = new Map<string, Promise<Trust>>()
  const nameOf = (node: NodeCard) => `${node.id} ${node.url}`

  const look = async (node: NodeCard): Promise<Trust> => {
    const der = await presented(node, clock)
    const owner: NodeId | undefined = ownerOf(der, (id, bytes, signature) =>
      identity.verifySignature(id, bytes, signature),
    )
    if (owner !== node.id) {
      throw new Failure('unavailable', `at ${node.url} there is ${owner ? `node ${owner}` : 'no node'}, not ${node.id}`)
    }
    const trust = { ca: pemOf(der) }
    pins.set(nameOf(node), trust)
    return trust
  }

  return {
    on: true,
    certificate: (host) => makeCertificate(identity, host),
    trust(node) {
      if (!encrypts(node)) {
        throw new Failure('unavailable', `this node encrypts, and node ${node.id} does not: ${remedy}`)
      }
      const name = nameOf(node)
      const known = pins.get(name)
      if (known) return Promise.resolve(known)
      const running = looks.get(name)
      if (running) return running
      const looking = look(node).finally(() => looks.delete(name))
      looks.set(name, looking)
      return looking
    },
    forget: (node) => void pins.delete(nameOf(node)),
  }
}

/** The certificate at the node's address, whoever's it is. */
function presented(node: NodeCard, clock: Clock): Promise<Uint8Array> {
  const { hostname, port } = new URL(node.url)
  const late = `${node.url} presented no certificate within ${wireRules.pingDeadline / 1000} s`
  return deadline(clock, wireRules.pingDeadline, late, async (signal) => {
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>()
    // Where packets are dropped it is looked at only when the connection is given up, long after the deadline.
    promise.catch(() => {})
    const failed = (why: string) => reject(new Failure('unavailable', `${node.url}: ${why}`))
    signal.addEventListener('abort', () => failed('given up'), { once: true })
    const socket = await Bun.connect({
      hostname: hostname.replace(/^\[|\]$/g, ''),
      port: Number(port || 443),
      // It is looked at below, and nothing is said on this connection.
      tls: { rejectUnauthorized: false },
      socket: {
        handshake(socket) {
          const raw = socket.getPeerX509Certificate()?.raw
          if (raw) resolve(new Uint8Array(raw))
          else failed('no certificate')
        },
        data() {},
        close: () => failed('it does not speak TLS'),
        error: (_, error) => failed(error.message),
        connectError: (_, error) => failed(error.message),
      },
    }).catch((error: Error) => {
      failed(error.message)
      return undefined
    })
    try {
      return await promise
    } finally {
      socket?.terminate()
    }
  })
}

function pemOf(der: Uint8Array): string {
  const lines = der.toBase64().match(/.{1,64}/g) ?? []
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`
}
