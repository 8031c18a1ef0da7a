/**
 * Keeps what the mounter has and what there are snapshots for the same: after a start of the host or of the mounter the
 * layers are mounted again before a container needs them, and layers of snapshots that are gone are let go.
 */
import { type Clock, pause } from '../clock.ts'
import type { Log } from '../telemetry/log.ts'
import type { Catalog } from './catalog.ts'
import type { Mounter } from './mounter.ts'
import type { Snapshots } from './snapshots.ts'

const startTries = 20
const startEveryMs = 500

export class Reconciler {
  readonly #snapshots: Snapshots
  readonly #catalog: Catalog
  readonly #mounter: Pick<Mounter, 'layers' | 'release'>
  readonly #log: Log
  #running = false
  #away = false

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

  /** True when the mounter answered. Never throws. One at a time. */
  async run(quiet = false): Promise<boolean> {
    if (this.#running) return false
    this.#running = true
    try {
      await this.#reconcile()
      if (this.#away) this.#log.info('the mounter answers again')
      this.#away = false
      return true
    } catch (error) {
      // Once is enough: nothing is wrong as long as nobody needs a layer.
      if (!this.#away && !quiet) this.#log.warn('the mounter is away: layers are unpacked until it answers', { error })
      this.#away ||= !quiet
      return false
    } finally {
      this.#running = false
    }
  }

  async #reconcile(): Promise<void> {
    const layers = await this.#mounter.layers()
    // Now, for a layer may have got its snapshot while the mounter answered.
    const wanted = new Set(this.#catalog.all().flatMap(({ lazy }) => lazy?.holder ?? []))
    const { holders: ours, opening } = this.#snapshots
    const held = layers.flatMap(({ id, holders }) => holders.map((holder) => ({ id, holder })))
    const stale = held.filter(({ holder }) => holder.startsWith(ours) && !wanted.has(holder) && !opening.has(holder))
    for (const { id, holder } of stale) await this.#mounter.release(id, holder)
    await this.#snapshots.tidy()
    const known = new Set(held.map(({ holder }) => holder))
    for (const { name, lazy } of this.#catalog.all()) {
      if (lazy && !known.has(lazy.holder)) await this.#snapshots.remount(name)
    }
  }
}
