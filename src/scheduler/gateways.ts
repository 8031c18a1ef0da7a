/**
 * Who may fetch across the line between two sites. Pure.
 *
 * One node of each site, its gateway, has parents at other sites; the others have parents at their own site only, the
 * gateway among them, so that each piece crosses the line about once, whatever is lost or late within the site. A site in
 * which somebody reads the source or has all of the blob needs nobody to fetch it from afar. Nodes that were told no zone
 * are near to everybody, and the rule is not for them.
 *
 * The gateway is whoever asks first; the next who asks takes over when it leaves, or when others of the site stall while
 * it makes no progress.
 */
import { apart, siteOf } from '../cluster/zone.ts'
import type { SwarmNode } from './decision.ts'
import { type Lead, leadOf, leadPatienceMs } from './lead.ts'

export interface Standing {
  /** Brings the blob to the asking node's site; undefined where nobody has to. */
  readonly gateway: Lead | undefined
  /** The asking node may have parents at other sites. */
  readonly crosses: boolean
}

const anywhere: Standing = { gateway: undefined, crosses: true }
const athome: Standing = { gateway: undefined, crosses: false }

export class Gateways {
  readonly #bySite = new Map<string, Lead>()
  /** Who had all of the blob last at a site. */
  readonly #whole = new Map<string, string>()

  /** What is heard of a node: whether it has more of the blob than before, and whether it has all of it. */
  holds(node: SwarmNode, { more, whole }: { readonly more: boolean; readonly whole: boolean }, now: number): void {
    const site = siteOf(node.zone)
    if (site === undefined) return
    const gateway = this.#bySite.get(site)
    if (more && gateway?.id === node.id) gateway.progressAt = now
    if (whole) {
      this.#whole.set(site, node.id)
      this.#bySite.delete(site)
    } else if (this.#whole.get(site) === node.id) this.#whole.delete(site)
  }

  /** It may not have all of the blob any more. */
  lost(id: string): void {
    for (const [site, whole] of this.#whole) if (whole === id) this.#whole.delete(site)
  }

  left(id: string): void {
    for (const [site, gateway] of this.#bySite) {
      gateway.children.delete(id)
      if (gateway.id === id) this.#bySite.delete(site)
    }
    this.lost(id)
  }

  /**
   * What the asking node may do; names it gateway when its site lacks one.
   * @param fetcher reads the source
   */
  standing(
    asker: SwarmNode,
    asked: { readonly stalled: boolean; readonly reasons: string[] },
    fetcher: SwarmNode | undefined,
    now: number,
  ): Standing {
    const site = siteOf(asker.zone)
    if (site === undefined) return anywhere
    // What others hold at other sites is not to be read from the source again.
    if (fetcher?.id === asker.id) return anywhere
    if ((fetcher && !apart(fetcher.zone, asker.zone)) || (this.#whole.has(site) && !asked.stalled)) return athome
    let gateway = this.#bySite.get(site)
    const silent = gateway && asked.stalled ? now - gateway.progressAt : 0
    if (gateway && gateway.id !== asker.id && silent > leadPatienceMs) {
      asked.reasons.push(`${gateway.id}, which fetches for ${site}, made no progress for ${Math.round(silent)} ms`)
      gateway = undefined
    }
    if (!gateway) {
      gateway = leadOf(asker.id, now)
      this.#bySite.set(site, gateway)
      asked.reasons.push(`${asker.id} fetches for ${site} from other sites`)
    }
    return { gateway, crosses: gateway.id === asker.id }
  }
}
