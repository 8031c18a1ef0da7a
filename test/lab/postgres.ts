/**
 * A real PostgreSQL, Debian's, with a cluster of its own in a folder: for as long as a test, on a socket, and on a host
 * of a lab over TCP too. It is told not to wait for the disk: what is tested is who loses what, not the disk.
 */
import { chmodSync, chownSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { StateUrl } from '../../src/config/state-url.ts'
import type { Host } from './host.ts'
import { LabProcess } from './process.ts'
import { until } from './until.ts'

const versions = '/usr/lib/postgresql'
const port = 5432

/** Undefined where there is none. */
export const postgresFolder: string | undefined = (() => {
  try {
    const newest = readdirSync(versions)
      .filter((name) => /^\d+$/.test(name))
      .sort((a, b) => Number(b) - Number(a))[0]
    return newest === undefined ? undefined : join(versions, newest, 'bin')
  } catch {
    return undefined
  }
})()

export interface PostgresInit {
  /** Short: a socket's path has little room. */
  readonly dir: string
  /** Where it listens too. */
  readonly host?: Host
}

export class LabPostgres {
  readonly passwordFile: string
  readonly #init: PostgresInit
  #process: LabProcess | undefined

  private constructor(init: PostgresInit) {
    this.#init = init
    this.passwordFile = join(init.dir, 'password')
  }

  static async start(init: PostgresInit): Promise<LabPostgres> {
    const server = new LabPostgres(init)
    const { dir } = init
    mkdirSync(dir, { recursive: true })
    writeFileSync(server.passwordFile, `${crypto.randomUUID()}\n`, { mode: 0o600 })
    const data = join(dir, 'data')
    mkdirSync(data, { mode: 0o700 })
    if (owner) for (const path of [dir, data, server.passwordFile]) chownSync(path, owner.uid, owner.gid)
    chmodSync(dir, 0o755)
    const made = Bun.spawnSync([
      ...asOwner,
      join(postgresFolder!, 'initdb'),
      ...['--pgdata', data, '--auth', 'scram-sha-256', '--username', 'shoal', '--pwfile', server.passwordFile],
      ...['--no-sync', '--encoding', 'UTF8', '--locale', 'C'],
    ])
    if (!made.success) throw new Error(`initdb: ${made.stderr}`)
    await server.resume()
    return server
  }

  /** With the data that it had. */
  async resume(): Promise<void> {
    const { dir, host } = this.#init
    const settings = {
      unix_socket_directories: dir,
      listen_addresses: host ? '*' : '',
      port: String(port),
      fsync: 'off',
      max_connections: '50',
      shared_buffers: '16MB',
    }
    if (host) {
      const file = join(dir, 'data', 'pg_hba.conf')
      const text = readFileSync(file, 'utf8')
      const line = 'host all all 0.0.0.0/0 scram-sha-256\n'
      if (!text.includes(line)) writeFileSync(file, text + line)
    }
    const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
    const command = [...asOwner, join(postgresFolder!, 'postgres'), '-D', join(dir, 'data'), ...flags]
    const log = join(dir, 'log')
    this.#process = host ? host.spawn(command, { log }) : new LabProcess(command, { log })
    const process = this.#process
    try {
      await until('PostgreSQL takes connections', 20, () => {
        if (!process.running) throw new Error(`PostgreSQL ended: ${process.logged()}`)
        return Bun.spawnSync([join(postgresFolder!, 'pg_isready'), '--host', dir, '--port', String(port)]).success
      })
    } catch (error) {
      // Who waited for it knows nothing of it yet.
      await process.kill()
      throw error
    }
  }

  /** By its socket, or by the address of its host. */
  url(database: string): StateUrl {
    const { dir, host } = this.#init
    return { host: host?.address ?? dir, port, user: 'shoal', database }
  }

  /** A new database. */
  async create(database: string): Promise<StateUrl> {
    await this.sql('postgres', `CREATE DATABASE "${database}" LOCALE 'C' TEMPLATE template0`)
    return this.url(database)
  }

  /** What psql prints. */
  async sql(database: string, text: string): Promise<string> {
    const child = Bun.spawn(
      [
        ...[join(postgresFolder!, 'psql'), '--host', this.#init.dir, '--port', String(port), '--username', 'shoal'],
        ...['--dbname', database, '--no-psqlrc', '--tuples-only', '--no-align', '--command', text],
      ],
      {
        env: { ...process.env, PGPASSWORD: readFileSync(this.passwordFile, 'utf8').trim() },
        stdout: 'pipe',
        stderr: 'pipe',
      },
    )
    const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited])
    if (code !== 0) throw new Error(`psql: ${err}`)
    return out.trim()
  }

  /** As a crash would end it; {@link resume} recovers. */
  async kill(): Promise<void> {
    await this.#process?.kill()
    rmSync(join(this.#init.dir, 'data', 'postmaster.pid'), { force: true })
  }

  /** Ends it, and every connection with it. */
  async stop(): Promise<void> {
    // Fast shutdown, in its own words.
    this.#process?.signal('SIGINT')
    await this.#process?.stop()
  }
}

/** The server refuses to run as root. */
const owner = ownerOf('postgres')
const asOwner = owner
  ? ['setpriv', `--reuid=${owner.uid}`, `--regid=${owner.gid}`, '--clear-groups', '--']
  : ([] as string[])

function ownerOf(user: string): { uid: number; gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined
  const line = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .find((line) => line.startsWith(`${user}:`))
  const [, , uid, gid] = line?.split(':') ?? []
  return uid && gid ? { uid: Number(uid), gid: Number(gid) } : undefined
}
