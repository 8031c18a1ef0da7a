/**
 * Keeps what the mounter has and what there are snapshots for the same: after a start of the host or of the mounter the
 * layers are mounted again before a container needs them, and layers of snapshots that are gone are let go.
 */
import { type Clock, pause } from '../clock.ts'
import type { Fields, Log } from '../telemetry/log.ts'
import type { Catalog } from './catalog.ts'
import type { Mounter } from './mounter.ts'
import type { Snapshots } from './snapshots.ts'

const startTries = 20
const startEveryMs = 500

interface Failed {
  readonly what: string
  readonly facts: Fields
  readonly error: unknown
}

export class Reconciler {
  readonly #snapshots: Snapshots
  readonly #catalog: Catalog
  readonly #mounter: Pick<Mounter, 'layers' | 'release'>
  readonly #log: Log
  #running = false
  #away = false
  /** What failed in the last round, of which the log has it already. */
  #failing: ReadonlySet<string> = new Set()

  constructor(snapshots: Snapshots, catalog: Catalog, mounter: Pick<Mounter, 'layers' | 'release'>, log: Log) {
    this.#snapshots = snapshots
    this.#catalog = catalog
    this.#mounter = mounter
    this.#log = log
  }

  /** At a start of the host the mounter may come a little later. */
  async begin(clock: Clock, ended: AbortSignal): Promise<void> {
    for (let tries = 0; tries < startTries; tries++) {
      if (ended.aborted || (await this.run(true))) return
      await pause(clock, startEveryMs, ended).catch(() => {})
    }
    await this.run()
  }

  /** True when the mounter answered, and nothing is left to do. Never throws. One at a time. */
  async run(quiet = false): Promise<boolean> {
    if (this.#running) return false
    this.#running = true
    try {
      const failed = await this.#reconcile()
      if (this.#away) this.#log.info('the mounter answers again')
      this.#away = false
      if (!quiet) this.#tell(failed)
      return failed.length === 0
    } catch (error) {
      // Once is enough: nothing is wrong as long as nobody needs a layer.
      if (!this.#away && !quiet) this.#log.warn('the mounter is away: layers are unpacked until it answers', { error })
      this.#away ||= !quiet
      return false
    } finally {
      this.#running = false
    }
  }

  /** Returns what could not be done. @throws when the mounter is away */
  async #reconcile(): Promise<Failed[]> {
    const layers = await this.#mounter.layers()
    // Now, for a layer may have got its snapshot while the mounter answered.
    const wanted = new Set(this.#catalog.all().flatMap(({ lazy }) => lazy?.holder ?? []))
    const { holders: ours, opening } = this.#snapshots
    const held = layers.flatMap(({ id, holders }) => holders.map((holder) => ({ id, holder })))
    const stale = held.filter(({ holder }) => holder.startsWith(ours) && !wanted.has(holder) && !opening.has(holder))
    const known = new Set(held.map(({ holder }) => holder))
    const failed: Failed[] = []
    // One that fails is no reason to leave the others undone; without a mounter each of them would.
    const tried = async (what: string, facts: Fields, work: () => Promise<unknown>) => {
      try {
        await work()
      } catch (error) {
        await this.#mounter.layers()
        failed.push({ what, facts, error })
      }
    }
    for (const { id, holder } of stale) {
      await tried('a layer of no snapshot cannot be let go', { layer: id, holder }, () =>
        this.#mounter.release(id, holder),
      )
    }
    for (const { name, lazy } of this.#catalog.all()) {
      if (!lazy || known.has(lazy.holder)) continue
      const facts = { snapshot: name, layer: lazy.layer.digest, from: lazy.layer.repository }
      await tried('a layer cannot be mounted again, and its containers cannot start', facts, () =>
        this.#snapshots.remount(name),
      )
    }
    // It may take long, and containers need their layers.
    await tried('what is left of snapshots cannot be removed', {}, () => this.#snapshots.tidy())
    return failed
  }

  #tell(failed: readonly Failed[]): void {
    const known = this.#failing
    const keyOf = ({ what, facts }: Failed) => JSON.stringify([what, facts])
    for (const each of failed) {
      if (!known.has(keyOf(each)))
        this.#log.warn(`${each.what}; it will be tried again`, { ...each.facts, error: each.error })
    }
    this.#failing = new Set(failed.map(keyOf))
  }
}
