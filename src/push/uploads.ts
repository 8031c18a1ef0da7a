/**
 * The uploads that are under way. They end with the process, or a day after somebody last did something with one; sooner
 * where another needs its place or its room: engines do not end what they break off.
 */
import { type Clock, every } from '../clock.ts'
import { Failure } from '../failure.ts'
import { formatRepository, type Repository } from '../oci/reference.ts'
import type { BlobStore } from '../store/blob-store.ts'
import { Upload } from './upload.ts'

/** Each has a file open. An engine has five at a time. */
export const mostUploads = 512
const idleMs = 24 * 3600_000
/** One that has rested for less is for its client to go on with, whoever else needs the room. */
const restMs = 10 * 60_000
const sweepMs = 10 * 60_000

export class Uploads {
  readonly #store: Pick<BlobStore, 'spool'>
  readonly #clock: Clock
  readonly #byId = new Map<string, Upload>()
  readonly #stop: () => void

  constructor(store: Pick<BlobStore, 'spool'>, clock: Clock) {
    this.#store = store
    this.#clock = clock
    this.#stop = every(clock, sweepMs, () => void this.sweep())
  }

  get size(): number {
    return this.#byId.size
  }

  /** @throws {Failure} `too-many`, `try-later` */
  begin(repository: Repository, by: string): Upload {
    if (this.#byId.size >= mostUploads) {
      const rested = this.#rested()
      if (!rested) {
        throw new Failure('too-many', `${mostUploads} uploads are under way; come again`, { detail: { waitMs: 5000 } })
      }
      void this.end(rested).catch(() => {})
    }
    const upload = new Upload({ repository, by, spool: this.#spool(), clock: this.#clock, uploads: this })
    this.#byId.set(upload.id, upload)
    return upload
  }

  /** @throws {Failure} `no-upload` for one that is not there, or somebody else's */
  find(repository: Repository, id: string, by: string): Upload {
    const upload = this.#byId.get(id)
    const same = upload && formatRepository(upload.repository) === formatRepository(repository) && upload.by === by
    if (same) return upload
    throw new Failure('no-upload', 'there is no such upload: it has ended, or was begun at another node')
  }

  /** It is over, one way or the other. */
  async end(upload: Upload): Promise<void> {
    this.#byId.delete(upload.id)
    await upload.spool.discard()
  }

  /** Does `work`, which takes room: while there is none, uploads that rest make some, and it is done again. */
  async withRoom<T>(work: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await work()
      } catch (error) {
        const { code, detail } = Failure.from(error)
        const fits = code === 'no-space' && detail.mostBytes === undefined
        const rested = fits ? this.#rested() : undefined
        if (!rested) throw error
        await this.end(rested)
      }
    }
  }

  async sweep(): Promise<void> {
    for (const upload of [...this.#byId.values()]) if (upload.idleMs >= idleMs) await this.end(upload)
  }

  async close(): Promise<void> {
    this.#stop()
    for (const upload of [...this.#byId.values()]) await this.end(upload).catch(() => {})
  }

  /** The one that nobody has done anything with for longest, and for long enough. */
  #rested(): Upload | undefined {
    let longest: Upload | undefined
    for (const upload of this.#byId.values()) if (!longest || upload.idleMs > longest.idleMs) longest = upload
    return longest && longest.idleMs >= restMs ? longest : undefined
  }

  #spool() {
    try {
      return this.#store.spool()
    } catch (error) {
      throw new Failure('try-later', `no upload can begin: ${(error as Error).message}`, { cause: error })
    }
  }
}
