/**
 * A real registry, Debian's docker-registry, on a host of a lab or on loopback: plain HTTP unless it is given a
 * certificate, a data folder, and an access log from which tests count what it sent.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Digest, hexOf } from '../../src/oci/digest.ts'
import { freePort } from './free-port.ts'
import type { Host } from './host.ts'
import { LabProcess } from './process.ts'
import { tryRun } from './run.ts'

export interface RegistryInit {
  /** The host it runs on; without one, the machine itself. */
  readonly host?: Host
  /** Where to listen. Default: the host's address, or `127.0.0.1` without a host. */
  readonly address?: string
  /** Default: 5000 on a host of a lab, a free one on the machine itself. */
  readonly port?: number
  /** Folder for configuration, data and log. */
  readonly dir: string
  /** Basic authentication with this one account. */
  readonly account?: { readonly user: string; readonly password: string }
  /** PEM files; makes it https. */
  readonly tls?: { readonly certificate: string; readonly key: string }
  /** Base URL that blobs are redirected to (307) instead of being sent: {@link serveFolder} on another host, over `<dir>/data`. */
  readonly redirect?: string
  /** Where its content lies, for two of them over one storage. Default `<dir>/data`. */
  readonly storage?: string
  /** More of its configuration: `notifications`, `proxy`. */
  readonly more?: Readonly<Record<string, unknown>>
}

export interface Access {
  readonly method: string
  readonly path: string
  readonly status: number
  /** Bytes of the body. */
  readonly bytes: number
  readonly agent: string
}

export class LabRegistry {
  readonly address: string
  readonly port: number
  readonly dir: string
  readonly process: LabProcess
  readonly #scheme: string

  private constructor(scheme: string, address: string, port: number, dir: string, process: LabProcess) {
    this.#scheme = scheme
    this.address = address
    this.port = port
    this.dir = dir
    this.process = process
  }

  static async start(init: RegistryInit): Promise<LabRegistry> {
    const port = init.port ?? (init.host ? 5000 : freePort())
    const address = init.address ?? init.host?.address ?? '127.0.0.1'
    const storage = init.storage ?? join(init.dir, 'data')
    for (const folder of [init.dir, storage]) mkdirSync(folder, { recursive: true })
    const config = join(init.dir, 'config.yml')
    const htpasswd = join(init.dir, 'htpasswd')
    if (init.account) {
      const { user, password } = init.account
      writeFileSync(htpasswd, `${user}:${await Bun.password.hash(password, { algorithm: 'bcrypt', cost: 4 })}\n`)
    }
    writeFileSync(
      config,
      JSON.stringify({
        version: '0.1',
        log: { level: 'warn', accesslog: { disabled: false } },
        storage: {
          filesystem: { rootdirectory: storage },
          delete: { enabled: true },
          maintenance: { uploadpurging: { enabled: false } },
        },
        // All addresses of the host, so that images are pushed over its loopback, which is not shaped.
        http: {
          addr: `${init.host ? '0.0.0.0' : address}:${port}`,
          secret: 'one registry, no other to share it with',
          ...(init.tls ? { tls: init.tls } : {}),
        },
        ...(init.account ? { auth: { htpasswd: { realm: 'lab', path: htpasswd } } } : {}),
        ...(init.redirect
          ? { middleware: { storage: [{ name: 'redirect', options: { baseurl: init.redirect } }] } }
          : {}),
        ...init.more,
      }),
    )
    const scheme = init.tls ? 'https' : 'http'
    const url = `${scheme}://${init.host ? '127.0.0.1' : address}:${port}/v2/`
    const answers = async () => {
      // Whether it is the registry its certificate names is for clients to check.
      const probe = ['curl', '--silent', '--insecure', '--output', '/dev/null', '--max-time', '2', url]
      return (await (init.host ? init.host.tryExec(probe) : tryRun(probe))).code === 0
    }
    if (await answers()) throw new Error(`${url} is in use: something answers there before docker-registry is started`)
    const command = ['docker-registry', 'serve', config]
    const log = join(init.dir, 'registry.log')
    const process = init.host ? init.host.spawn(command, { log }) : new LabProcess(command, { log })
    for (let attempt = 0; attempt < 100 && process.running; attempt++) {
      if (await answers()) return new LabRegistry(scheme, address, port, init.dir, process)
      await Bun.sleep(50)
    }
    await process.kill()
    const said = process.logged().trim().slice(-1000)
    throw new Error(`docker-registry does not answer at ${url}: ${said || 'it said nothing'}`)
  }

  /** `10.77.7.1:5000` */
  get hostPort(): string {
    return `${this.address}:${this.port}`
  }

  get url(): string {
    return `${this.#scheme}://${this.hostPort}`
  }

  /** All requests answered so far, oldest first. A request is logged a moment after its answer is complete. */
  accesses(): Access[] {
    return parseAccessLog(this.process.logged())
  }

  /** Requests answered and bytes of bodies sent, per path. */
  sent(match: (access: Access) => boolean = () => true): Map<string, { requests: number; bytes: number }> {
    const totals = new Map<string, { requests: number; bytes: number }>()
    for (const access of this.accesses().filter(match)) {
      const total = totals.get(access.path) ?? { requests: 0, bytes: 0 }
      total.requests++
      total.bytes += access.bytes
      totals.set(access.path, total)
    }
    return totals
  }

  /** The file of a blob that was pushed. */
  blobFile(digest: Digest): string {
    const hex = hexOf(digest)
    return join(this.dir, 'data', 'docker', 'registry', 'v2', 'blobs', 'sha256', hex.slice(0, 2), hex, 'data')
  }

  /** Gone as a crash would end it; start another one on the same folder to have it back. */
  kill(): Promise<void> {
    return this.process.kill()
  }

  async stop(): Promise<void> {
    await this.process.stop()
  }
}

/**
 * Serves the files below a folder, ranges included, over plain HTTP unless it is given a certificate: what a redirecting
 * registry's storage is like, or a server with files to download.
 */
export async function serveFolder(
  host: Host,
  folder: string,
  port: number,
  tls?: { readonly certificate: string; readonly key: string },
): Promise<string> {
  const secured = tls
    ? `tls: { cert: Bun.file(${JSON.stringify(tls.certificate)}), key: Bun.file(${JSON.stringify(tls.key)}) },`
    : ''
  const scheme = tls ? 'https' : 'http'
  const program = `Bun.serve({ hostname: '0.0.0.0', port: ${port}, ${secured} async fetch(request) {
    const file = Bun.file(${JSON.stringify(folder)} + new URL(request.url).pathname)
    if (!(await file.exists())) return new Response('no such file', { status: 404 })
    return new Response(file, { headers: { etag: '"' + file.lastModified + '-' + file.size + '"' } })
  } })`
  const server = host.spawn([process.execPath, '-e', program], { log: `files-${port}.log` })
  for (let attempt = 0; attempt < 100 && server.running; attempt++) {
    const probe = ['curl', '--silent', '--insecure', '--output', '/dev/null', `${scheme}://127.0.0.1:${port}/`]
    if ((await host.tryExec(probe)).code === 0) return `${scheme}://${host.address}:${port}`
    await Bun.sleep(50)
  }
  throw new Error(`no file server at ${host.address}:${port}: ${server.logged().slice(-1000)}`)
}

/** Lines of Apache's combined format, which docker-registry writes between its own. */
export function parseAccessLog(text: string): Access[] {
  const line = /^\S+ \S+ \S+ \[[^\]]+\] "([A-Z]+) (\S+) HTTP\/[0-9.]+" ([0-9]{3}) ([0-9]+|-) "[^"]*" "([^"]*)"/gm
  return [...text.matchAll(line)].map(([, method, path, status, bytes, agent]) => ({
    method: method!,
    path: path!,
    status: Number(status),
    bytes: Number(bytes === '-' ? 0 : bytes),
    agent: agent!,
  }))
}
