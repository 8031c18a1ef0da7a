/**
 * Under which names a blob may be read from its source. Each client that wants it names one, and a blob that comes already
 * comes under the name that somebody asked for first; where nothing is to be had there (it may be forbidden, gone, or down),
 * the names of the others are tried before any of them is told that it cannot be had.
 */
import { formatRepository } from '../../oci/reference.ts'
import type { Location } from '../../source/source.ts'

/** Anybody may name some; each that fails costs a question. */
const mostPlaces = 16

export class Places {
  readonly #places: Location[]
  readonly #failed = new Set<Location>()
  #current: Location

  constructor(first: Location) {
    this.#places = [first]
    this.#current = first
  }

  /** Where to read now. */
  get current(): Location {
    return this.#current
  }

  /** False if it is known already, or one too many. */
  add(place: Location): boolean {
    if (this.#places.length >= mostPlaces || this.#places.some((known) => isSame(known, place))) return false
    this.#places.push(place)
    if (this.#failed.has(this.#current)) this.#current = place
    return true
  }

  /** Nothing is to be had at `place`; false if no other is left that was not tried. Who tries again, tries the next. */
  failed(place: Location): boolean {
    this.#failed.add(place)
    const next = this.#places.find((each) => !this.#failed.has(each))
    this.#current = next ?? this.#places[(this.#places.indexOf(place) + 1) % this.#places.length]!
    return next !== undefined
  }
}

function isSame(one: Location, other: Location): boolean {
  return one.kind === other.kind && formatRepository(one.repository) === formatRepository(other.repository)
}
