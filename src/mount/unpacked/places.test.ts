import { describe, expect, test } from 'bun:test'
import { seededRandom } from '../../clock.ts'
import { type Keeper, Places } from './places.ts'

class Shelf implements Keeper {
  readonly gone = new Set<number>()
  readonly #digests: Uint8Array[]
  constructor(digests: Uint8Array[]) {
    this.#digests = digests
  }
  digest(chunk: number): Uint8Array {
    return this.#digests[chunk]!
  }
  owns(chunk: number): boolean {
    return !this.gone.has(chunk)
  }
}

const digestOf = (name: string) => Bun.SHA256.hash(name) as Uint8Array

describe('Places', () => {
  test('finds every chunk that was added, among thousands', () => {
    const places = new Places<Shelf>()
    const shelves = [0, 1, 2].map((s) => new Shelf(Array.from({ length: 5000 }, (_, i) => digestOf(`${s} ${i}`))))
    for (const shelf of shelves) for (let i = 0; i < 5000; i++) places.add(shelf, i)
    for (const [s, shelf] of shelves.entries()) {
      for (let i = 0; i < 5000; i += 97) {
        expect(places.find(digestOf(`${s} ${i}`))).toEqual({ keeper: shelf, chunk: i })
      }
    }
    expect(places.find(digestOf('none'))).toBeUndefined()
  })

  test('finds another place when one has lost the chunk or is gone', () => {
    const places = new Places<Shelf>()
    const [a, b] = [new Shelf([digestOf('x')]), new Shelf([digestOf('x')])]
    places.add(a, 0)
    places.add(b, 0)
    expect(places.find(digestOf('x'), new Set([a]))?.keeper).toBe(b)
    a.gone.add(0)
    expect(places.find(digestOf('x'))?.keeper).toBe(b)
    a.gone.clear()
    places.forget(b)
    expect(places.find(digestOf('x'))?.keeper).toBe(a)
    places.forget(a)
    expect(places.find(digestOf('x'))).toBeUndefined()
  })

  test('takes nothing more of one that is gone', () => {
    const places = new Places<Shelf>()
    const shelf = new Shelf([digestOf('x')])
    places.forget(shelf)
    places.add(shelf, 0)
    expect(places.find(digestOf('x'))).toBeUndefined()
  })

  test('finds a chunk again that was lost and added anew', () => {
    const places = new Places<Shelf>()
    const shelf = new Shelf([digestOf('x')])
    places.add(shelf, 0)
    shelf.gone.add(0)
    expect(places.find(digestOf('x'))).toBeUndefined()
    shelf.gone.clear()
    places.add(shelf, 0)
    expect(places.find(digestOf('x'))?.chunk).toBe(0)
  })

  test('is as quick where thousands of chunks are equal, as zeros are', () => {
    const places = new Places<Shelf>()
    const zero = digestOf('zero')
    let compared = 0
    class Counting extends Shelf {
      override digest(chunk: number): Uint8Array {
        compared++
        return super.digest(chunk)
      }
    }
    const shelf = new Counting(Array.from({ length: 20_000 }, () => zero))
    for (let i = 0; i < 20_000; i++) places.add(shelf, i)
    expect(compared).toBeLessThan(20_000 * 20)
    expect(places.find(zero)).toBeDefined()
  })

  test('keeps finding what is there while layers come and go', () => {
    const random = seededRandom(3)
    const places = new Places<Shelf>()
    let shelves: [Shelf, number][] = []
    for (let round = 0; round < 60; round++) {
      const shelf = new Shelf(Array.from({ length: 300 }, (_, i) => digestOf(`${round} ${i}`)))
      for (let i = 0; i < 300; i++) places.add(shelf, i)
      shelves.push([shelf, round])
      if (random() < 0.7) {
        const [gone] = shelves.splice(Math.floor(random() * shelves.length), 1)
        if (gone) places.forget(gone[0])
      }
    }
    shelves = shelves.slice(0, 10)
    for (const [shelf, round] of shelves) expect(places.find(digestOf(`${round} 299`))?.keeper).toBe(shelf)
  })
})
