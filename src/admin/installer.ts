/**
 * What a node offers to hosts that shall run the same: the installer, and its own binary with its SHA-256. Whoever got the
 * installer can get the binary with it, by a key that opens nothing else: so one command with the token is enough.
 */
import { randomBytes, timingSafeEqual } from 'node:crypto'
import type { Context, Hono, MiddlewareHandler } from 'hono'
import { Failure } from '../failure.ts'
import { installerWith, joiningFlags } from '../install/offer.ts'
import type { OwnBinary } from '../install/own-binary.ts'
import type { NodeView } from './view.ts'

export interface Installer {
  /** For requests with the installer's key; goes before the check of the token. */
  readonly byKey: MiddlewareHandler
  /** Adds the routes, which go after it. */
  offer(app: Hono): void
}

export function installer(view: Pick<NodeView, 'node'>, binary: OwnBinary | undefined): Installer {
  const key = randomBytes(16).toString('hex')
  const own = (): OwnBinary => {
    if (binary) return binary
    throw new Failure('no-name', 'this node runs from source: it has no binary to offer')
  }
  const bytes = ({ req }: Context) => {
    const { file, version, platform } = own()
    const headers = {
      'content-type': 'application/octet-stream',
      'content-length': String(file.size),
      'content-disposition': 'attachment; filename="shoal"',
      'x-shoal-version': version,
      'x-shoal-platform': platform,
    }
    return new Response(req.method === 'HEAD' ? null : file, { headers })
  }
  return {
    byKey: async (c, next) => {
      const given = Buffer.from(c.req.query('key') ?? '')
      const right = given.length === key.length && timingSafeEqual(given, Buffer.from(key))
      return right ? bytes(c) : next()
    },
    offer: (app) => {
      app.get('/shoal', bytes)
      app.get('/shoal.sha256', async (c) => c.text(`${await own().sha256()}  shoal\n`))
      app.get('/install.sh', async (c) => {
        const { version, platform, sha256 } = own()
        const { addresses, cluster } = view.node()
        const script = installerWith({
          url: `${addressOf(c)}/shoal?key=${key}`,
          sha256: await sha256(),
          platform,
          version,
          flags: joiningFlags(addresses.p2p, cluster.encrypted ?? false),
          keyed: cluster.admission === 'keyed',
        })
        return c.body(script, 200, { 'content-type': 'text/x-shellscript; charset=utf-8', 'cache-control': 'no-store' })
      })
    },
  }
}

/** This port as the client named it: whichever name that is, it leads here. */
function addressOf(c: Context): string {
  return `http://${new URL(c.req.url).host}`
}
