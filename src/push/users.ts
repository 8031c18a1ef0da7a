/**
 * Who may push: an htpasswd file with bcrypt hashes. A hash takes a tenth of a second of a core, so few are worked out at a
 * time, and who has shown the right password a moment ago is believed without another: by a keyed hash of it, in memory.
 */
import { createHmac, randomBytes } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import pLimit from 'p-limit'
import type { Clock } from '../clock.ts'
import { Failure } from '../failure.ts'
import { lru } from '../lru.ts'
import type { Log } from '../telemetry/log.ts'

/** Name to hash. @throws {Failure} `bad-request` that names the line, and no hash */
export function parseUsers(text: string, file: string): Map<string, string> {
  const users = new Map<string, string>()
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === '' || line.startsWith('#')) continue
    const colon = line.indexOf(':')
    const name = line.slice(0, Math.max(colon, 0))
    const hash = line.slice(colon + 1).trim()
    const at = `${file}, line ${index + 1}`
    if (name === '' || users.has(name)) {
      throw new Failure('bad-request', `${at}: expected name:hash, each name once`)
    }
    if (!/^\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}$/.test(hash)) {
      throw new Failure('bad-request', `${at}: the hash of "${name}" is not bcrypt; write it with htpasswd -B`)
    }
    users.set(name, hash)
  }
  if (users.size === 0)
    throw new Failure('bad-request', `${file} has no user; add one with htpasswd -B -c ${file} NAME`)
  return users
}

const atOnce = 2
/** Who comes to more is told to come again: anybody may send passwords. */
const mostWaiting = 32
const rememberedMs = 5 * 60_000
const lookMs = 1000
/** bcrypt looks at 72 bytes; what is longer is no password that it can tell apart. */
const longestPassword = 72

export class Users {
  readonly #file: string
  readonly #clock: Clock
  readonly #log: Log
  readonly #key = randomBytes(32)
  readonly #limit = pLimit(atOnce)
  readonly #right = lru<string, number>(1024)
  #users: Map<string, string>
  #mtime: number
  #lookedAt: number

  /** @throws {Failure} `bad-request` when the file is not right */
  static async open(file: string, clock: Clock, log: Log): Promise<Users> {
    const { mtimeMs } = await stat(file)
    return new Users(file, parseUsers(await readFile(file, 'utf8'), file), mtimeMs, clock, log)
  }

  private constructor(file: string, users: Map<string, string>, mtime: number, clock: Clock, log: Log) {
    this.#file = file
    this.#users = users
    this.#mtime = mtime
    this.#lookedAt = clock.now()
    this.#clock = clock
    this.#log = log
  }

  /** As it was when the file was last looked at. */
  has(name: string): boolean {
    return this.#users.has(name)
  }

  async knows(name: string): Promise<boolean> {
    await this.#look()
    return this.#users.has(name)
  }

  /** @throws {Failure} `too-many` */
  async verify(name: string, password: string): Promise<boolean> {
    await this.#look()
    const hash = this.#users.get(name)
    if (hash === undefined || password === '' || Buffer.byteLength(password) > longestPassword) return false
    const key = createHmac('sha256', this.#key)
      .update(JSON.stringify([name, password, hash]))
      .digest('base64')
    const until = this.#right.get(key)
    if (until !== undefined && until > this.#clock.now()) return true
    if (this.#limit.pendingCount >= mostWaiting) {
      throw new Failure('too-many', 'too many passwords are being checked; come again', { detail: { waitMs: 1000 } })
    }
    const right = await this.#limit(() => Bun.password.verify(password, hash).catch(() => false))
    if (right) this.#right.set(key, this.#clock.now() + rememberedMs)
    return right
  }

  /** A user who was taken out of the file is out within a second. */
  async #look(): Promise<void> {
    const now = this.#clock.now()
    if (now - this.#lookedAt < lookMs) return
    this.#lookedAt = now
    try {
      const { mtimeMs } = await stat(this.#file)
      if (mtimeMs === this.#mtime) return
      this.#users = parseUsers(await readFile(this.#file, 'utf8'), this.#file)
      this.#mtime = mtimeMs
      this.#log.info('the file of those who may push was read again', { users: this.#users.size })
    } catch (error) {
      const { message } = error as Error
      this.#log.error('the file of those who may push is not right; the users it had before count', { error: message })
    }
  }
}
