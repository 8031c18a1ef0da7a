/**
 * Keeps what the mounter has and what there are snapshots for the same: after a start of the host or of the mounter the
 * layers are mounted again before a container needs them, and layers of snapshots that are gone are let go.
 */
import type { Log } from '../telemetry/log.ts'
import type { Catalog } from './catalog.ts'
import type { Mounter } from './mounter.ts'
import type { Snapshots } from './snapshots.ts'

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

  /** Never throws. One at a time. */
  async run(): Promise<void> {
    if (this.#running) return
    this.#running = true
    try {
      await this.#reconcile()
      if (this.#away) this.#log.info('the mounter answers again')
      this.#away = false
    } catch (error) {
      // Once is enough: nothing is wrong as long as nobody needs a layer.
      if (!this.#away) this.#log.warn('the mounter is away: layers are unpacked until it answers', { error })
      this.#away = true
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
    await this.#snapshots.cleanup()
    const known = new Set(held.map(({ holder }) => holder))
    for (const { name, lazy } of this.#catalog.all()) {
      if (lazy && !known.has(lazy.holder)) await this.#snapshots.remount(name)
    }
  }
}
