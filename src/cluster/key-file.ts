/** The file of the cluster's keys, read again when it changes: a key is changed without a restart of any node. */
import { statSync } from 'node:fs'
import { type Clock, every } from '../clock.ts'
import { tellExposed } from '../config/secret-file.ts'
import type { Log } from '../telemetry/log.ts'
import { loadClusterKeys } from './cluster-key.ts'
import { KeyRing } from './key-ring.ts'

/** In ms. A look is one call to the kernel. */
const lookEvery = 2_000

export class KeyFile {
  readonly ring: KeyRing
  readonly #path: string
  readonly #log: Log
  readonly #stop: () => void
  #state: string

  /** @throws {Failure} `internal` that names the file */
  constructor(path: string, clock: Clock, log: Log) {
    this.#path = path
    this.#log = log
    this.#state = stateOf(path)
    this.ring = new KeyRing(loadClusterKeys(path))
    tellExposed(path, log)
    this.#stop = every(clock, lookEvery, () => {
      if (stateOf(path) !== this.#state) this.reload()
    })
  }

  /** Reads it now. What is not right changes nothing: the keys stay, and the operator is told. */
  reload(): void {
    this.#state = stateOf(this.#path)
    try {
      tellExposed(this.#path, this.#log)
      this.ring.replace(loadClusterKeys(this.#path))
    } catch (error) {
      this.#log.error('the cluster key file was changed, and cannot be used; the keys are those from before', {
        reason: error instanceof Error ? error.message : String(error),
      })
    }
  }

  close(): void {
    this.#stop()
  }
}

/** Another one after each change, also when another file was put in its place, or nobody may look there any more. */
function stateOf(path: string): string {
  try {
    const stat = statSync(path, { bigint: true })
    return `${stat.ino} ${stat.size} ${stat.mode} ${stat.mtimeNs}`
  } catch (error) {
    return String(error)
  }
}
