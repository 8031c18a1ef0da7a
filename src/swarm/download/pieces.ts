/**
 * What a download knows of each piece of its blob, and what follows from that: what is missing, what may be asked for, what
 * somebody waits for. Pure. Whoever says that something happened to a piece need not think of the rest: each verb brings in
 * line what is derived.
 *
 * Life of a piece: free -> asked for (one request, or two when hedged) -> being verified and written -> stored. A piece
 * whose digest nobody has stated cannot be verified, so it is not free.
 */
import { Bitmap, type ReadonlyBitmap } from '../../piece/bitmap.ts'
import { Aims, type Run } from './aims.ts'
import type { Parent } from './parent.ts'

/** As those who do not decide what happens to pieces see them. */
export type PieceFacts = Omit<Pieces, Known | OnItsWay | Wanted>
type Known = 'state' | 'hold' | 'lack'
type OnItsWay = 'ask' | 'release' | 'look' | 'write' | 'written' | 'store' | 'lose' | 'feed'
type Wanted = 'aim' | 'wantAll'

export class Pieces {
  readonly count: number
  readonly have: ReadonlyBitmap
  /** Wanted and not here. */
  readonly lacking: ReadonlyBitmap
  /** Of these, those that may be asked for: nothing brings them, and they can be verified. */
  readonly free: ReadonlyBitmap
  /** What somebody waits for and nothing brings yet, whether it can be verified already or not. */
  readonly due: ReadonlyBitmap
  /** Of these, those that may be asked for. */
  readonly awaited: ReadonlyBitmap
  /** By piece: how many parents hold it. */
  readonly availability: ArrayLike<number>
  /** By piece: requests for it, plus one for each time that it is being written. */
  readonly asked: ArrayLike<number>

  readonly #have: Bitmap
  readonly #lacking: Bitmap
  readonly #free: Bitmap
  readonly #due: Bitmap
  readonly #awaited: Bitmap
  readonly #stated: Bitmap
  readonly #availability: Uint16Array
  readonly #asked: Uint8Array
  /** Times the piece has arrived and was neither stored nor given up yet. */
  readonly #writing: Uint8Array
  /** Those of them that are looked at: they lie on the disk. */
  readonly #looked: Bitmap
  readonly #waited: Bitmap
  readonly #aims: Aims
  #whole: boolean
  #feed = { from: 0, to: 0 }
  #rare = 0
  #arrivals = 0

  /**
   * @param have pieces that are here
   * @param stated pieces whose digests are known
   * @param whole all of the blob is wanted; else only what is aimed at
   */
  constructor(have: ReadonlyBitmap, stated: ReadonlyBitmap, whole: boolean) {
    const { length } = have
    this.count = length
    this.have = this.#have = have.copy()
    this.lacking = this.#lacking = new Bitmap(length)
    this.free = this.#free = new Bitmap(length)
    this.due = this.#due = new Bitmap(length)
    this.awaited = this.#awaited = new Bitmap(length)
    this.availability = this.#availability = new Uint16Array(length)
    this.asked = this.#asked = new Uint8Array(length)
    this.#stated = stated.copy()
    this.#writing = new Uint8Array(length)
    this.#looked = new Bitmap(length)
    this.#waited = new Bitmap(length)
    this.#aims = new Aims(length)
    this.#whole = whole
    this.#refreshAll()
  }

  /** All of the blob is wanted, not only what somebody waits for. */
  get whole(): boolean {
    return this.#whole
  }
  /** Nobody waits for anything in particular. */
  get aimless(): boolean {
    return this.#aims.empty
  }
  /** Free pieces that exactly one parent holds. */
  get rare(): number {
    return this.#rare
  }
  /** Arrived, or looked at, and neither stored nor given up yet. */
  get arrivals(): number {
    return this.#arrivals
  }
  /** Of these, those that are in memory until the disk has them. */
  get inMemory(): number {
    return this.#arrivals - this.#looked.count
  }
  /** Of these, at least one is only waiting for the disk: it can be verified. */
  get writes(): boolean {
    return this.#writing.some((times, piece) => times > 0 && this.#stated.has(piece) && !this.#looked.has(piece))
  }
  /** Lacking pieces that somebody waits for who reads a part. */
  get waited(): number {
    return this.#waited.count
  }
  /** Some parent holds a piece that is lacking. */
  get hopeful(): boolean {
    for (const piece of this.#lacking.indexes()) if (this.#availability[piece]! > 0) return true
    return false
  }

  /** Somebody waits for it who reads a part. */
  waitedFor(piece: number): boolean {
    return this.#aims.waitedFor(piece)
  }

  /** Some request is for it. */
  requested(piece: number): boolean {
    return this.#asked[piece]! > this.#writing[piece]!
  }

  /** It has arrived, and is being verified and written. */
  arrived(piece: number): boolean {
    return this.#writing[piece]! > 0
  }

  /** Pieces that are aimed at and not here, those first that are waited for. */
  *aimed(): Generator<number> {
    const told = new Set<number>()
    for (const [from, to] of this.#aims.runs()) {
      for (let piece = from; piece < to; piece++) {
        if (this.#have.has(piece) || told.has(piece)) continue
        told.add(piece)
        yield piece
      }
    }
  }

  /** The first run of pieces that are aimed at, that nothing brings, and that are `needed`; so many `most`. */
  nextDue(most: number, needed: (piece: number) => boolean): Run | undefined {
    const open = (piece: number) => this.#isOpen(piece) && needed(piece)
    for (const [from, to] of this.#aims.runs()) {
      for (let first = from; first < to; first++) {
        if (!open(first)) continue
        let end = first + 1
        while (end < first + most && end < this.count && this.#aims.has(end) && open(end)) end++
        return [first, end]
      }
    }
    return undefined
  }

  /** What is waited for longest of what nothing brings. */
  firstDue(): number {
    for (const piece of this.aimed()) if (this.#due.has(piece)) return piece
    return 0
  }

  /**
   * What a request for just anything is not to bring: what is not lacking, what is asked for, and what more than `most`
   * parents hold.
   * @param aimed nor what nobody waits for
   */
  unwanted(most: number, aimed: boolean): Bitmap {
    const unwanted = this.#have.copy()
    for (let i = 0; i < this.count; i++) {
      const wanted = this.#lacking.has(i) && (!aimed || this.#aims.waitedFor(i))
      if (!wanted || this.#asked[i]! > 0 || this.#availability[i]! > most) unwanted.set(i)
    }
    return unwanted
  }

  /** How many lacking pieces a request may bring that is not to bring those, and that nothing else was asked for. */
  covered(unwanted: ReadonlyBitmap | undefined): number {
    let pieces = 0
    for (const piece of this.#lacking.indexes()) if (this.#asked[piece] === 0 && !unwanted?.has(piece)) pieces++
    return pieces
  }

  /** Its digest is known. */
  state(piece: number): void {
    if (this.#stated.set(piece)) this.#refresh(piece)
  }

  /** The parent holds it; nothing happens if that was known. */
  hold(parent: Pick<Parent, 'have'>, piece: number): void {
    if (!parent.have.set(piece)) return
    const holders = ++this.#availability[piece]!
    if (!this.#free.has(piece)) return
    if (holders <= 2) this.#rare += holders === 1 ? 1 : -1
  }

  /** The parent does not hold it any more. */
  lack(parent: Pick<Parent, 'have'>, piece: number): void {
    if (!parent.have.clear(piece)) return
    const holders = --this.#availability[piece]!
    if (!this.#free.has(piece)) return
    if (holders <= 1) this.#rare += holders === 1 ? 1 : -1
  }

  /** A request is for it. */
  ask(piece: number): void {
    this.#asked[piece]!++
    this.#refresh(piece)
  }

  /** A request for it is over. */
  release(piece: number): void {
    this.#asked[piece]!--
    this.#refresh(piece)
  }

  /** It is here, and is being verified and written. */
  write(piece: number): void {
    this.#writing[piece]!++
    this.#arrivals++
    this.ask(piece)
  }

  /** It lies on the disk, and is verified; or comes there by another way. */
  look(piece: number): void {
    if (this.#have.has(piece)) return
    this.#looked.set(piece)
    this.write(piece)
  }

  /** A piece that had arrived is no longer being written. */
  written(piece: number): void {
    if (!this.#writing[piece]) return
    this.#writing[piece]!--
    this.#arrivals--
    this.#looked.clear(piece)
    this.release(piece)
  }

  store(piece: number): void {
    this.#have.set(piece)
    this.#refresh(piece)
  }

  /** A stored piece is not what it was any more. */
  lose(piece: number): void {
    if (this.#have.clear(piece)) this.#refresh(piece)
  }

  /** The source brings these, up to `to` (exclusive), in place of those it brought before. */
  feed(from: number, to: number): void {
    const before = this.#feed
    this.#feed = { from, to }
    for (let i = before.from; i < Math.min(before.to, this.count); i++) this.#refresh(i)
    for (let i = from; i < Math.min(to, this.count); i++) this.#refresh(i)
  }

  /** What `who` waits for, in place of what it waited for before, see {@link Aims}. */
  aim(who: string, runs: readonly Run[], ahead: readonly Run[]): void {
    this.#aims.set(who, runs, ahead, (piece) => this.#refresh(piece))
  }

  wantAll(): void {
    this.#whole = true
    this.#refreshAll()
  }

  #refreshAll(): void {
    for (let piece = 0; piece < this.count; piece++) this.#refresh(piece)
  }

  /** Brings what is derived in line with the rest. */
  #refresh(piece: number): void {
    const lacking = !this.#have.has(piece) && (this.#whole || this.#aims.has(piece))
    if (lacking) this.#lacking.set(piece)
    else this.#lacking.clear(piece)
    const waited = lacking && this.#aims.waitedFor(piece)
    if (waited) this.#waited.set(piece)
    else this.#waited.clear(piece)
    const open = this.#isOpen(piece)
    const free = open && this.#stated.has(piece)
    const due = open && waited
    if (due) this.#due.set(piece)
    else this.#due.clear(piece)
    if (due && free) this.#awaited.set(piece)
    else this.#awaited.clear(piece)
    if (free ? !this.#free.set(piece) : !this.#free.clear(piece)) return
    if (this.#availability[piece] === 1) this.#rare += free ? 1 : -1
  }

  /** Lacking, and nothing brings it. */
  #isOpen(piece: number): boolean {
    const fed = piece >= this.#feed.from && piece < this.#feed.to
    return !fed && this.#asked[piece] === 0 && this.#lacking.has(piece)
  }
}
