/**
 * What starts of containers read first, for the whole cluster: the seed that owns a layer keeps it, a start tells it
 * through the node on its host, and every node asks it before a start.
 */

import type { Clock } from '../clock.ts'
import type { Membership } from '../cluster/membership.ts'
import type { NodeInfo } from '../cluster/node-info.ts'
import { Failure } from '../failure.ts'
import { lru } from '../lru.ts'
import type { Digest } from '../oci/digest.ts'
import type { Log } from '../telemetry/log.ts'
import type { Outbound } from '../wire/wire.ts'
import { readsCall } from './calls.ts'
import type { Ledger } from './ledger.ts'
import { orderOf, withStart } from './reads.ts'

export interface LayerReadsDeps {
  readonly ledger: Pick<Ledger, 'reads' | 'setReads'>
  /** Seeds in the order in which they own a layer. */
  readonly owners: (layer: Digest) => readonly NodeInfo[]
  readonly membership: Pick<Membership, 'self'>
  readonly outbound: Pick<Outbound, 'call'>
  readonly clock: Clock
  readonly log: Log
}

/** Who starts many containers of one image asks once. */
const believedMs = 30_000

export class LayerReads {
  readonly #d: LayerReadsDeps
  readonly #heard = lru<Digest, { reads: number[]; until: number }>(1024)

  constructor(deps: LayerReadsDeps) {
    this.#d = deps
  }

  /** In the order in which to bring them; nothing where nobody has told. Never throws. */
  async of(layer: Digest): Promise<number[]> {
    const { clock, ledger } = this.#d
    const heard = this.#heard.get(layer)
    if (heard && heard.until > clock.now()) return heard.reads
    const [owner] = this.#d.owners(layer)
    const reads = await this.#ask(owner, layer, undefined)
    return reads ?? orderOf(ledger.reads(layer))
  }

  /** One more start. Known here too: for what starts on this host while the owner is away. */
  async add(layer: Digest, start: readonly number[]): Promise<void> {
    const { membership } = this.#d
    this.answer(layer, start)
    const [owner] = this.#d.owners(layer)
    if (owner && owner.id !== membership.self.id) await this.#ask(owner, layer, [...start])
  }

  /** For another node, which may tell of a start. */
  answer(layer: Digest, start: readonly number[] | undefined): number[] {
    const { ledger, clock } = this.#d
    const known = ledger.reads(layer)
    if (!start || start.length === 0) return orderOf(known)
    const more = withStart(known, start)
    ledger.setReads(layer, more, clock.wall())
    return orderOf(more)
  }

  async #ask(owner: NodeInfo | undefined, layer: Digest, start: number[] | undefined): Promise<number[] | undefined> {
    const { membership, outbound, clock, log } = this.#d
    if (!owner || owner.id === membership.self.id) return undefined
    try {
      const { reads } = await outbound.call(owner, readsCall, { layer, ...(start ? { start } : {}) })
      this.#heard.set(layer, { reads, until: clock.now() + believedMs })
      return reads
    } catch (error) {
      log.debug('the owner of a layer did not say what starts read of it', {
        owner: owner.id,
        error: Failure.from(error).message,
      })
      return undefined
    }
  }
}
