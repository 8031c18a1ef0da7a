/**
 * To whom a piece went last, by piece: who is sent it passes it on as it comes, so whoever asks next is told to ask there,
 * and this node's link sends it once. Pure; time is an argument, in ms.
 *
 * In a chain the link of each child carries the piece once in and once out, and what each of them adds to the time is not
 * the piece, but the first part of it. In a tree with two branches each link would carry it twice.
 */

interface Chain {
  /** Who was sent it here, or was told to ask another for it: none of these waits for one that came later. */
  readonly members: Set<string>
  last: string
  at: number
}

/** So long after the last was added, who asks is sent it from here again: that one may have left. */
const chainMs = 5000
/** In one chain: where one breaks off, all behind it ask again. */
const mostMembers = 32
/** Most pieces of one blob of which it is remembered. */
const mostPieces = 256

export class Chains {
  readonly #chains = new Map<string, Map<number, Chain>>()

  /** Who passes that piece on to `child`; undefined when it is to be sent from here. */
  before(child: string, digest: string, piece: number, now: number): string | undefined {
    const chain = this.#chains.get(digest)?.get(piece)
    if (!chain || now - chain.at >= chainMs) return undefined
    return chain.members.has(child) || chain.members.size >= mostMembers ? undefined : chain.last
  }

  /** Pieces of the blob that went to somebody, the one that began longest ago first. */
  pieces(digest: string): Iterable<number> {
    return this.#chains.get(digest)?.keys() ?? []
  }

  /** It is sent to `child` from here: whoever comes later asks there. */
  begin(child: string, digest: string, piece: number, now: number): void {
    const chains = this.#chains.get(digest) ?? new Map<number, Chain>()
    chains.delete(piece)
    chains.set(piece, { members: new Set([child]), last: child, at: now })
    this.#chains.set(digest, chains)
    // The one that began first is gone first.
    for (const [first, { at }] of chains) {
      if (chains.size <= mostPieces && now - at < chainMs) break
      chains.delete(first)
    }
  }

  /** `child` asks for it here although it was told to ask another: whoever passes it on there does not do so well. */
  again(child: string, digest: string, piece: number): void {
    for (const of of this.#of(digest)) if (this.#chains.get(of)?.get(piece)?.members.has(child)) this.#end(of, piece)
  }

  /** `child` was told to ask the last of them. `passesOn`: whoever comes next asks there. */
  add(child: string, digest: string, piece: number, passesOn: boolean, now: number): void {
    const chain = this.#chains.get(digest)?.get(piece)
    if (!chain) return
    chain.members.add(child)
    if (!passesOn) return
    chain.last = child
    chain.at = now
  }

  /** It does not get to `child` from here after all. */
  broken(child: string, digest: string, piece: number): void {
    if (this.#chains.get(digest)?.get(piece)?.last === child) this.#end(digest, piece)
  }

  /** `child` is gone, or wants no more of that blob. */
  left(child: string, digest?: string): void {
    for (const of of this.#of(digest)) for (const piece of [...this.pieces(of)]) this.broken(child, of, piece)
  }

  /** The blob is no longer here. */
  forget(digest: string): void {
    for (const of of this.#of(digest)) this.#chains.delete(of)
  }

  /** What goes to one site has its name behind that of the blob. */
  #of(digest: string | undefined): string[] {
    const all = [...this.#chains.keys()]
    return digest === undefined ? all : all.filter((of) => of === digest || of.startsWith(`${digest} `))
  }

  #end(digest: string, piece: number): void {
    const chains = this.#chains.get(digest)
    chains?.delete(piece)
    if (chains?.size === 0) this.#chains.delete(digest)
  }
}
