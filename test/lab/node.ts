/** A node under test: the binary, run on a host of a lab or, without one, on a loopback address of the machine. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Host } from './host.ts'
import { LabProcess } from './process.ts'
import { type Output, tryRun } from './run.ts'

export interface NodeInit {
  /** Runs there on the usual ports, with its state in the host's folder. */
  readonly host?: Host
  /** For a node without a host: `127.0.0.x`, on which it takes the ports 14880 to 14883. */
  readonly address?: string
  /** For a node without a host: folder of its state. Default on a host: `<host's folder>/shoal`. */
  readonly dir?: string
  /** Default `dist/shoal`. */
  readonly binary?: string
  /** More of what `shoal up` takes. */
  readonly flags?: readonly string[]
  readonly env?: Record<string, string>
}

export const builtBinary = join(import.meta.dir, '..', '..', 'dist', 'shoal')

export class LabNode {
  readonly host: Host | undefined
  readonly process: LabProcess
  readonly dataDir: string
  /** `http://127.0.0.1:4880`, as seen from its own host. */
  readonly mirror: string
  readonly admin: string
  /** What others `--join`. */
  readonly p2p: string

  /**
   * Starts it; {@link ready} waits for it.
   * @throws without a host, when one of its ports is taken: whoever answers there would pass for it
   */
  constructor(init: NodeInit) {
    const local = init.host ? '127.0.0.1' : (init.address ?? '127.0.0.1')
    const dir = init.dir ?? join(init.host?.dir ?? '', 'shoal')
    if (!init.host && init.dir === undefined) throw new Error('a node without a host needs a folder')
    const base = init.host ? 4880 : 14880
    if (!init.host) for (let port = base; port < base + 4; port++) refuseTaken(local, port)
    mkdirSync(dir, { recursive: true })
    this.host = init.host
    this.dataDir = join(dir, 'data')
    this.mirror = `http://${local}:${base}`
    this.admin = `http://${local}:${base + 3}`
    this.p2p = `${init.host?.address ?? local}:${base + 2}`
    const ports = ['registry', 'peer', 'p2p', 'admin'].flatMap((name, i) => [`--${name}-addr`, `${local}:${base + i}`])
    const command = [
      ...[init.binary ?? builtBinary, 'up', '--data-dir', this.dataDir],
      // On a host of its own a node takes its defaults, which is what the demo and the tests are about.
      ...(init.host ? [] : [...ports, '--advertise', local]),
      ...(init.flags ?? []),
    ]
    const options = { log: join(dir, 'node.log'), cwd: dir, ...(init.env ? { env: init.env } : {}) }
    this.process = init.host ? init.host.spawn(command, options) : new LabProcess(command, options)
  }

  /** Waits until it can serve. @throws with the end of its log when it ends before, or after `seconds`, and ends it then */
  async ready(seconds = 40): Promise<this> {
    const end = performance.now() + seconds * 1000
    while (this.process.running && performance.now() < end) {
      if ((await this.#curl('/readyz')).code === 0) return this
      await Bun.sleep(100)
    }
    const where = this.host?.name ?? this.mirror
    const state = this.process.running ? `is not ready after ${seconds} s` : 'ended'
    // Who waited for it knows nothing of it yet.
    await this.process.kill()
    throw new Error(`the node on ${where} ${state}: ${this.process.logged().trim().slice(-2000) || 'its log is empty'}`)
  }

  /** `GET` on the admin port. @throws unless the answer is a 2xx */
  async get(path: string): Promise<string> {
    const { code, stdout, stderr } = await this.#curl(path)
    if (code === 0) return stdout
    throw new Error(`${this.admin}${path} on ${this.host?.name ?? 'this machine'}: ${stderr.trim()}`)
  }

  /** A metric, summed over all series that carry these labels; 0 when there is none. */
  async metric(name: string, labels: Record<string, string> = {}): Promise<number> {
    return sumOf(await this.get('/metrics'), name, labels)
  }

  /** Live nodes it knows, itself included. */
  async members(): Promise<number> {
    const text = await this.get('/metrics')
    return Math.max(...['peer', 'seed', 'scheduler'].map((mode) => sumOf(text, 'shoal_members', { mode })))
  }

  #curl(path: string): Promise<Output> {
    const command = ['curl', '--silent', '--show-error', '--fail', '--max-time', '20', `${this.admin}${path}`]
    return this.host ? this.host.tryExec(command) : tryRun(command)
  }
}

/** @throws when somebody listens there, or nobody can */
function refuseTaken(hostname: string, port: number): void {
  try {
    Bun.listen({ hostname, port, exclusive: true, socket: { data() {} } }).stop(true)
  } catch (error) {
    throw new Error(`no node can be started on ${hostname}:${port}, end what listens there: ${error}`, { cause: error })
  }
}

/** Sums the series of one metric in Prometheus' text format. */
export function sumOf(text: string, name: string, labels: Record<string, string> = {}): number {
  let sum = 0
  for (const line of text.split('\n')) {
    const match = /^([a-zA-Z0-9_:]+)(?:\{(.*)\})? (\S+)/.exec(line)
    if (match?.[1] !== name) continue
    const pairs = new Set(match[2]?.match(/[a-zA-Z0-9_]+="(?:[^"\\]|\\.)*"/g))
    if (Object.entries(labels).every(([key, value]) => pairs.has(`${key}="${value}"`))) sum += Number(match[3])
  }
  return sum
}
