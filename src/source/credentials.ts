/** Finds credentials where `docker login` left them: in Docker's `config.json` or with the helper it names. */
import { readFile } from 'node:fs/promises'
import type { Clock } from '../clock.ts'
import { firstThere, type Places, placesOf } from '../first-there.ts'
import { lru } from '../lru.ts'
import type { Log } from '../telemetry/log.ts'
import { Seldom } from '../telemetry/seldom.ts'
import {
  type Credential,
  credentialOfHelper,
  type DockerConfig,
  entryFor,
  helperFor,
  parseDockerConfig,
} from './docker-config.ts'

export interface Credentials {
  /** The file they are looked for in, for messages to people. */
  readonly file: string | undefined
  /** What this node has for an account; undefined to be anonymous. Never throws. */
  find(account: string): Promise<Credential | undefined>
  /** The account's credential was refused: the next `find` asks its helper again. */
  refused(account: string): void
}

export const noCredentials: Credentials = {
  file: undefined,
  find: async () => undefined,
  refused() {},
}

/** What a client showed, for the accounts it was shown for: the registry's name may come to lead elsewhere. */
export function only(credential: Credential, accounts: readonly string[]): Credentials {
  return { ...noCredentials, find: async (asked) => (accounts.includes(asked) ? credential : undefined) }
}

export interface DockerCredentialsOptions {
  readonly file: Places
  readonly clock: Clock
  readonly log: Log
  /** Where helpers are looked for; the process's `PATH` unless given. */
  readonly path?: string
  readonly helperMs?: number
}

/** Helpers are programs: their answers are kept for a while, and those of cloud providers live for hours. */
const helperTtlMs = 5 * 60_000
/** That a helper failed is no answer: at boot what it asks itself may not be there yet. Counted from when it failed. */
const failedTtlMs = 5_000
/** One that is slow to fail is left alone for so much longer than it took: else nearly each pull would wait for it. */
const failedTimes = 6
/** A helper may be for all registries, and clients name those. */
const mostHelped = 1024

interface Helped {
  readonly answer: Promise<Credential | undefined>
  until: number
}

export class DockerCredentials implements Credentials {
  readonly #places: Places
  #file: string | undefined
  readonly #clock: Clock
  readonly #log: Log
  readonly #path: string | undefined
  readonly #helperMs: number
  #version = ''
  #config: DockerConfig = {}
  readonly #helped = lru<string, Helped>(mostHelped)
  readonly #seldom: Seldom

  constructor({ file, clock, log, path, helperMs = 10_000 }: DockerCredentialsOptions) {
    this.#places = file
    this.#clock = clock
    this.#log = log
    this.#path = path
    this.#helperMs = helperMs
    this.#seldom = new Seldom(clock)
  }

  /** Where they were; while there is no such file, the last place: people's own, where `docker login` writes. */
  get file(): string | undefined {
    return this.#file ?? placesOf(this.#places).at(-1)
  }

  async find(account: string): Promise<Credential | undefined> {
    await this.#refresh()
    const asked = helperFor(this.#config, account)
    const helped = asked ? await this.#fromHelper(account, asked.helper, asked.server) : undefined
    return helped ?? entryFor(this.#config, account)
  }

  refused(account: string): void {
    this.#helped.delete(account)
  }

  /** Reads the file again if it changed, so that a `docker login` counts without a restart. */
  async #refresh(): Promise<void> {
    const seen = await firstThere(this.#places)
    const { path, version } = seen ?? { version: '' }
    if (version === this.#version) return
    this.#helped.clear()
    const text = path === undefined ? '{}' : await readFile(path, 'utf8').catch(() => undefined)
    const config = text === undefined ? undefined : parseDockerConfig(text)
    if (!config) {
      const why = text === undefined ? 'cannot be read' : 'is not a Docker config.json'
      this.#log.warn(`${path} ${why}; registries are asked without credentials until it is mended`)
    }
    this.#config = config ?? {}
    this.#file = path
    this.#version = version
  }

  #fromHelper(account: string, helper: string, server: string): Promise<Credential | undefined> {
    const known = this.#helped.get(account)
    if (known && known.until > this.#clock.now()) return known.answer
    const began = this.#clock.now()
    const helped: Helped = {
      answer: this.#run(helper, server).catch((error) => {
        const now = this.#clock.now()
        helped.until = now + Math.min(helperTtlMs, Math.max(failedTtlMs, failedTimes * (now - began)))
        const failed = `docker-credential-${helper} gave no credentials for ${server}: ${(error as Error).message}`
        this.#seldom.tell(failed, (others) => this.#log.warn(`${failed}; going on without them`, others), server)
        return undefined
      }),
      until: began + helperTtlMs,
    }
    this.#helped.set(account, helped)
    return helped.answer
  }

  /** Undefined: it has none. @throws {Error} with why it did not say */
  async #run(helper: string, server: string): Promise<Credential | undefined> {
    if (!/^[A-Za-z0-9._-]+$/.test(helper)) throw new Error('this is not the name of a helper')
    const file = Bun.which(`docker-credential-${helper}`, this.#path === undefined ? {} : { PATH: this.#path })
    if (file === null) throw new Error('it is not installed, or not in the PATH of this process')
    const [output, code] = await this.#answer(file, server)
    if (code === 0) {
      const credential = credentialOfHelper(output)
      if (credential) return credential
      throw new Error('its answer cannot be understood')
    }
    // The protocol's only way to say that it knows no such account.
    if (output.includes('credentials not found')) return undefined
    throw new Error(`it ended with exit code ${code}`)
  }

  /** What it wrote, and its exit code. */
  #answer(file: string, server: string): Promise<[string, number]> {
    const child = started(file, server)
    const late = Promise.withResolvers<never>()
    const cancel = this.#clock.after(this.#helperMs, () => {
      child.kill('SIGKILL')
      // Not waited for: what it started itself may go on, and keep its output open.
      late.reject(new Error(`it did not answer within ${this.#helperMs / 1000} s`))
    })
    return Promise.race([Promise.all([new Response(child.stdout).text(), child.exited]), late.promise]).finally(cancel)
  }
}

function started(file: string, server: string) {
  try {
    return Bun.spawn([file, 'get'], {
      stdin: Buffer.from(server),
      stdout: 'pipe',
      stderr: 'ignore',
      maxBuffer: 64 * 1024,
    })
  } catch (cause) {
    throw new Error('it cannot be run', { cause })
  }
}
