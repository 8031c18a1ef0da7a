/**
 * Whether a repository has what is said to be of it, where that is known to be of a private one.
 *
 * - Of another registry: anybody can run one that claims every digest, in the list of a manifest, behind a tag or asked
 *   directly, and ask this node for it by that name. It has to show: bytes from a place that it cannot know beforehand,
 *   which have to be those that are here.
 * - Of the same registry: that keeps its repositories apart, but not what manifests say. distribution 2 gives an uploaded
 *   layer that reads like a manifest as one, and has looked for nothing that it lists. So the registry has to have said
 *   of the content itself that it is there.
 */

import type { Clock, Random } from '../clock.ts'
import { Failure } from '../failure.ts'
import { lru } from '../lru.ts'
import { type Digest, isDigest } from '../oci/digest.ts'
import { formatReference, type Repository } from '../oci/reference.ts'
import type { Asker, Door, Named } from '../source/door.ts'
import { mostSkippedBytes } from '../source/same-bytes.ts'
import type { Location } from '../source/source.ts'
import type { Blob, BlobStore, Span } from '../store/blob-store.ts'

export interface PossessionOptions {
  readonly store: Pick<BlobStore, 'find' | 'repositoriesOf'>
  readonly door: Pick<Door, 'admits' | 'shows' | 'takesLogins'>
  readonly clock: Clock
  readonly random: Random
  /** Whether anyone may have what is of the repository: its source gave something of it to anyone, or it is the cluster's own. */
  isPublic(repository: Repository): boolean
  /** Has the source asked by schedulers, all of them that may know; true when it said that the repository has it. */
  readonly inquire?: (location: Location, widely: boolean) => Promise<boolean>
  /** Tells those apart in whose name a registry is asked: what it refuses to one it may show to another. */
  nameOf(asker: Asker): string
}

/** More than anybody guesses, of content that has runs of the same byte. */
const sampleBytes = 64 * 1024
const failedMs = 10_000
/** A listed registry that cannot be asked is believed for so long before it is asked again: a layer is read in many parts. */
const believedMs = 60_000
/** How long a piece to be compared is waited for, and how often it is looked whether it is here, in ms. */
const patienceMs = 5_000
const lookMs = 20
/** Of one digest. Anybody who is let into the cluster may tell. */
const mostTold = 16
/** Owners of one registry: whichever of its repositories is asked for, one of them is another. */
const mostOfOne = 2
/** A word of long ago ends by itself: within so long that is noticed. */
const ownersMs = 10 * 60_000
const mostProven = 20_000
const mostSaid = 50_000

export class Possession {
  readonly #o: PossessionOptions
  /** For whom content came here that no client of this node has asked for. */
  readonly #brought = lru<Digest, Repository>(50_000)
  /** Of which another node said that they keep it private. */
  readonly #told = lru<Digest, readonly Repository[]>(50_000)
  /** Found out once: a layer that many images have in common is of thousands of repositories. */
  readonly #owners = lru<Digest, Owners>(10_000)
  readonly #proven = lru<string, true>(mostProven)
  /** The registry said that the repository has it. */
  readonly #said = lru<string, true>(mostSaid)
  /** Until when a question is not asked again: what it failed with, or nothing where the registry is believed. */
  readonly #settled = lru<string, { failure: Failure | undefined; until: number }>(4096)
  readonly #asking = new Map<string, Promise<void>>()

  constructor(options: PossessionOptions) {
    this.#o = options
  }

  /** Private repositories that have it: one of each registry, then a second one. */
  owners(digest: Digest): Repository[] {
    const now = this.#o.clock.now()
    let owners = this.#owners.get(digest)
    if (!owners || owners.until <= now) {
      owners = { ranks: [[], []], until: now + ownersMs }
      this.#owners.set(digest, owners)
      const brought = this.#brought.get(digest)
      if (brought) this.seen(digest, brought)
      for (const repository of this.#o.store.repositoriesOf(digest)) this.seen(digest, repository)
    }
    return owners.ranks.flat().filter((repository) => !this.#o.isPublic(repository))
  }

  /** The store knows now that it is of that repository. */
  seen(digest: Digest, repository: Repository): void {
    const { ranks } = this.#owners.get(digest) ?? {}
    const of = ranks?.flat().filter(({ registry }) => registry === repository.registry)
    if (!ranks || !of || !isNews(repository, of) || this.#o.isPublic(repository)) return
    ranks[of.length]?.push(repository)
  }

  /** Another repository is public now, or one no more. */
  publicityChanged(): void {
    this.#owners.clear()
  }

  /** Another node has it from that private repository. False if that is no news, or more than one needs to know. */
  told(digest: Digest, repository: Repository): boolean {
    const told = this.#told.get(digest) ?? []
    const of = told.filter(({ registry }) => registry === repository.registry)
    if (!isNews(repository, of) || told.length >= mostTold) return false
    this.#told.set(digest, [...told, repository])
    return true
  }

  /** The registry said, to this node or a scheduler, that the repository has it. */
  said({ repository, reference }: Where): void {
    this.#said.set(keyOf(repository, reference), true)
  }

  /** As {@link disputed}, for what came up since the client was let in; costs little where nothing did. */
  doubtful(named: Named): boolean {
    const { repository, reference } = named
    const told = isDigest(reference) ? this.#told.get(reference) : undefined
    if (!told || told.every((each) => isSame(each, repository))) return false
    return this.disputed(named)
  }

  /** Content of another private repository, of which it is not known to be of this one as well. */
  disputed({ repository, reference }: Named): boolean {
    if (!isDigest(reference)) return false
    if (this.#proven.get(keyOf(repository, reference))) return false
    const owners = this.owners(reference)
    return isAbroad(repository, owners) || this.#isUnsaid({ repository, reference }, owners)
  }

  /** Of another repository of the registry, which has not said that this one has it too. */
  #isUnsaid({ repository, reference }: Where, owners: readonly Repository[]): boolean {
    const others = owners.some((each) => each.registry === repository.registry && !isSame(each, repository))
    return others && !this.#said.get(keyOf(repository, reference))
  }

  /** The first name counts: a second one is a claim. */
  brought({ repository, digest }: Pick<Location, 'repository' | 'digest'>): void {
    if (this.#brought.has(digest)) return
    this.#brought.set(digest, repository)
    this.seen(digest, repository)
  }

  /**
   * Resolves when the registry has shown it, or said so where it is its own; or, where only the logins of another node let
   * the client in, has told a scheduler that it is there. That registry has the operator's trust, but not whoever writes a manifest there: what such
   * a one lists may be nowhere in it.
   * @throws {Failure} `no-manifest` or `no-blob` when it has not; `unavailable` when it cannot be asked
   */
  async prove(named: Named & { readonly reference: Digest }, asker: Asker | undefined): Promise<void> {
    const key = this.#question(named, asker)
    const settled = this.#settled.get(key)
    if (settled && settled.until > this.#o.clock.now()) {
      if (settled.failure) throw settled.failure
      return
    }
    const running = this.#asking.get(key)
    if (running) return running
    const asked = this.#ask(named, asker).finally(() => this.#asking.delete(key))
    this.#asking.set(key, asked)
    return asked
  }

  async #ask(named: Named & { readonly reference: Digest }, asker: Asker | undefined): Promise<void> {
    const { door, clock } = this.#o
    const { repository, reference } = named
    const owners = this.owners(reference)
    if (this.#isUnsaid(named, owners)) {
      await this.#hear(named, asker)
      if (!isAbroad(repository, owners)) return
    }
    if (asker === undefined && (await this.#saidToOthers(named))) {
      this.#proven.set(keyOf(repository, reference), true)
      return
    }
    const span = asker && (await this.#sample(reference))
    try {
      if (!span || asker === undefined) {
        throw new Failure('unavailable', `it is not here to be compared with what ${repository.registry} has`)
      }
      await this.#compare(named, asker, span)
      this.#proven.set(keyOf(repository, reference), true)
    } catch (error) {
      const failure = Failure.from(error)
      const silent = failure.code === 'unavailable' || failure.code === 'too-many'
      // Those that the operator named are believed while they cannot be asked.
      const believed = silent && door.takesLogins(repository.registry)
      const asked = span && asker !== undefined
      if (believed && asked && (await this.#saidToOthers(named))) {
        this.#proven.set(keyOf(repository, reference), true)
        return
      }
      // Where the registry was not asked: some of it may be here in a moment, and others may ask in a name.
      if (asked || (believed && asker === undefined)) {
        const kept = believed
          ? { failure: undefined, until: clock.now() + believedMs }
          : { failure, until: clock.now() + failedMs }
        this.#settled.set(this.#question(named, asker), kept)
      }
      if (!believed) throw failure
    }
  }

  /**
   * A registry does not lie about its own repositories. While it cannot be asked, by who has a name to ask in, what a
   * manifest says counts: the cluster goes on with what it has.
   */
  async #hear(named: Named & { readonly reference: Digest }, asker: Asker | undefined): Promise<void> {
    const { door, clock } = this.#o
    if (await this.#saidToOthers(named, asker === undefined)) return this.said(named)
    if (asker === undefined) {
      const what = formatReference({ ...named.repository, digest: named.reference })
      const mend = 'log in at this node, or try again when a scheduler with a login reaches the registry'
      throw new Failure('unavailable', `no scheduler has heard that ${what} is there; ${mend}`)
    }
    const failure = await door.admits(named, asker).then(() => undefined, Failure.from)
    if (!failure) return this.said(named)
    const silent = failure.code === 'unavailable'
    this.#settled.set(this.#question(named, asker), {
      failure: silent ? undefined : failure,
      until: clock.now() + (silent ? believedMs : failedMs),
    })
    if (!silent) throw failure
  }

  /**
   * One that sends no parts is asked for another place, near the beginning: what comes before the place is sent for
   * nothing. Only one that the operator listed, which does not lie about bytes: any other could do with less than all.
   */
  async #compare(named: Named, asker: Asker, { blob, ...place }: Sample): Promise<void> {
    const { door, random } = this.#o
    const compare = async ({ start, end }: Span) => {
      if (start < end) await door.shows(named, asker, start, await blob.read({ start, end }))
    }
    try {
      await compare(place)
    } catch (error) {
      const tooFar = Failure.from(error).code === 'corrupt' && place.start > mostSkippedBytes
      const nearer = tooFar && door.takesLogins(named.repository.registry) && sampleOf(blob, random, mostSkippedBytes)
      if (!nearer) throw error
      await compare(nearer)
    }
  }

  async #saidToOthers(
    { repository, kind, reference }: Named & { readonly reference: Digest },
    widely = true,
  ): Promise<boolean> {
    const said = this.#o.inquire?.({ repository, kind, digest: reference }, widely)
    return (await said?.catch(() => false)) ?? false
  }

  /** Of what has just begun to come there is a piece in a moment. */
  async #sample(digest: Digest): Promise<Sample | undefined> {
    const { store, clock, random } = this.#o
    for (let waited = 0; ; waited += lookMs) {
      const blob = store.find(digest)
      const span = blob && sampleOf(blob, random)
      if (span) return { blob, ...span }
      if (!blob || waited >= patienceMs) return undefined
      await new Promise<void>((resolve) => clock.after(lookMs, resolve))
    }
  }

  #question({ repository, reference }: Named & { readonly reference: Digest }, asker: Asker | undefined): string {
    return `${asker === undefined ? 'nobody' : this.#o.nameOf(asker)} ${keyOf(repository, reference)}`
  }
}

interface Owners {
  /** One of each registry, and a second one. */
  readonly ranks: readonly [Repository[], Repository[]]
  /** Clock time. */
  readonly until: number
}

type Where = Pick<Named, 'repository'> & { readonly reference: Digest }

interface Sample extends Span {
  readonly blob: Blob
}

/** A part of a piece that is here, which begins at `last` at the latest; undefined when none is. */
function sampleOf({ have, layout, size }: Blob, random: Random, last = size): Span | undefined {
  const pieces = Array.from({ length: layout.count }, (_, piece) => piece)
  const held = pieces.filter((piece) => have.has(piece) && piece * layout.pieceLength <= last)
  const piece = held[Math.floor(random() * held.length)]
  if (piece === undefined) return undefined
  const start = piece * layout.pieceLength
  const end = Math.min(start + layout.pieceLength, size)
  const room = Math.max(0, Math.min(end - start - sampleBytes, last - start))
  const from = start + Math.floor(random() * (room + 1))
  return { start: from, end: Math.min(from + sampleBytes, end) }
}

function isSame(one: Repository, other: Repository): boolean {
  return one.registry === other.registry && one.name === other.name
}

function isAbroad({ registry }: Repository, owners: readonly Repository[]): boolean {
  return owners.some((owner) => owner.registry !== registry)
}

/** `known` are of its registry. */
function isNews(repository: Repository, known: readonly Repository[]): boolean {
  return known.length < mostOfOne && !known.some((each) => isSame(each, repository))
}

function keyOf(repository: Repository, digest: Digest): string {
  return formatReference({ ...repository, digest })
}
