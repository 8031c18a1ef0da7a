import { describe, expect, test } from 'bun:test'
import { seededRandom } from '../../clock.ts'
import { Bitmap } from '../../piece/bitmap.ts'
import { layoutOf } from '../../piece/layout.ts'
import { Download, type DownloadCommand, type DownloadEvent } from './download.ts'
import { Link } from './link.ts'
import type { Request } from './parent.ts'
import { defaultTuning, type Tuning } from './tuning.ts'

const layout = layoutOf(16 * 256 * 1024)
const everything = Bitmap.full(layout.count)

function bits(...pieces: number[]): Bitmap {
  const bitmap = new Bitmap(layout.count)
  for (const piece of pieces) bitmap.set(piece)
  return bitmap
}

function except(...pieces: number[]): Bitmap {
  return bits(...[...everything.indexes()].filter((piece) => !pieces.includes(piece)))
}

/** A download, what it asked for and has not got yet, and the other commands it gave. */
class Race {
  readonly download: Download
  readonly open = new Map<number, Request>()
  readonly any = new Map<number, { unwanted: Bitmap; from: number }>()
  readonly cancelled: Request[] = []
  readonly others: DownloadCommand[] = []
  now = 0

  constructor(init: { tuning?: Partial<Tuning>; have?: Bitmap; stated?: Bitmap; whole?: boolean; link?: Link } = {}) {
    const { tuning = {}, have = bits(), stated = everything, whole = true, link } = init
    this.download = new Download(
      layout,
      have,
      stated,
      { ...defaultTuning, leastInFlight: 1, ...tuning },
      seededRandom(11),
      0,
      whole,
      link,
    )
  }

  apply(event: DownloadEvent): void {
    for (const command of this.download.apply(event, this.now)) {
      if (command.do === 'request') {
        this.open.set(command.request.id, command.request)
        if (command.any) this.any.set(command.request.id, command.any)
      } else if (command.do === 'cancel') {
        this.open.delete(command.request.id)
        this.cancelled.push(command.request)
      } else this.others.push(command)
    }
  }
  join(parent: string, have: Bitmap, feeding = false): void {
    this.apply({ type: 'parent-joined', parent, have, feeding })
  }
  /** The open requests at a parent, oldest first. */
  at(parent: string): Request[] {
    return [...this.open.values()].filter((request) => request.parent === parent)
  }
  pieces(): number[] {
    return [...this.open.values()].map(({ piece }) => piece ?? -1).sort((a, b) => a - b)
  }
  arrive(request: Request, piece = request.piece!): void {
    this.open.delete(request.id)
    this.apply({ type: 'arrived', request: request.id, piece })
  }
  receive(request: Request, piece = request.piece!): void {
    this.arrive(request, piece)
    this.apply({ type: 'stored', piece })
  }
  refuse(request: Request, reason: 'busy' | 'missing' | 'broken'): void {
    this.open.delete(request.id)
    this.apply({ type: 'refused', request: request.id, reason })
  }
  wait(ms: number): void {
    this.now += ms
    this.apply({ type: 'tick' })
  }
}

describe('asking', () => {
  test('a piece whose digest nobody has stated is not asked for until somebody does', () => {
    const race = new Race({ stated: bits() })
    race.join('ann', bits(3, 4))
    race.join('bob', bits(3, 4))
    expect(race.open.size).toBe(0)
    race.apply({ type: 'stated', from: 3, to: 4 })
    expect(race.pieces()).toEqual([3])
  })

  test('a new parent may have one request in flight, and more as it proves fast', () => {
    const race = new Race()
    race.join('ann', everything)
    race.join('bob', everything)
    expect([race.at('ann').length, race.at('bob').length]).toEqual([1, 1])
    for (let i = 0; i < 8; i++) {
      race.now += 20
      race.receive(race.at('ann')[0]!)
    }
    expect(race.at('ann').length).toBeGreaterThan(1)
    expect(race.at('bob').length).toBe(1)
  })

  test('no more requests are in flight than the limits allow, at one parent and at all together', () => {
    const race = new Race({ tuning: { leastPipeline: 3, mostPipeline: 3, mostInFlight: 7 } })
    for (const parent of ['ann', 'bob', 'cat']) race.join(parent, everything)
    expect(race.download.requests.size).toBe(7)
    expect(Math.max(...['ann', 'bob', 'cat'].map((parent) => race.at(parent).length))).toBe(3)
  })

  test('blobs that come at once share what may be in flight, and each has a little in any case', () => {
    const asked = (blobs: number) => {
      const race = new Race({ tuning: { leastInFlight: 8, mostInFlight: 12, leastShare: 2 } })
      race.apply({ type: 'beside', blobs })
      for (let i = 0; i < 16; i++) race.join(`parent ${i}`, bits(i))
      return race.download.requests.size
    }
    expect([1, 3, 40].map(asked)).toEqual([12, 4, 2])
  })

  test('few parents of one blob are asked for more at once than few parents of many', () => {
    const asked = (blobs: number) => {
      const race = new Race({ tuning: { leastInFlight: 8 } })
      race.apply({ type: 'beside', blobs })
      race.join('ann', everything)
      race.join('bob', everything)
      return race.at('bob').length
    }
    expect([1, 2, 40].map(asked)).toEqual([4, 2, 1])
  })

  test('nothing is asked for twice while it is on its way, and nothing that is here', () => {
    const race = new Race({ have: bits(0, 1), stated: bits(), tuning: { leastPipeline: 16 } })
    race.join('ann', everything)
    race.join('bob', everything)
    race.apply({ type: 'stated', from: 0, to: layout.count })
    expect(race.pieces()).toEqual([...except(0, 1).indexes()])
  })

  test('whoever has all of it chooses what nobody else here holds, told what is here or on its way, and where the reader is', () => {
    const race = new Race({ have: bits(0, 1, 2) })
    race.apply({ type: 'reader-at', reader: 1, piece: 1 })
    race.join('bob', bits(3))
    race.join('ann', everything)
    const [ask] = race.at('ann')
    expect(ask!.piece).toBeUndefined()
    const { unwanted, from } = race.any.get(ask!.id)!
    expect(from).toBe(3)
    expect([0, 1, 2].every((piece) => unwanted.has(piece))).toBe(true)
    expect(unwanted.has(4)).toBe(false)
    race.apply({ type: 'chosen', request: ask!.id, piece: 9 })
    expect(ask!.piece).toBe(9)
  })

  test('what others hold too is not left to the choice of one', () => {
    const race = new Race({ have: bits(0) })
    race.join('bob', bits(1, 2, 3))
    race.join('ann', everything)
    const [ask] = race.at('ann').filter(({ piece }) => piece === undefined)
    const { unwanted } = race.any.get(ask!.id)!
    expect([1, 2, 3].every((piece) => unwanted.has(piece))).toBe(true)
    expect(unwanted.has(4)).toBe(false)
  })

  test('whoever has some of it is told what to send, also when nobody else holds that', () => {
    const race = new Race({ tuning: { leastPipeline: 3 } })
    race.join('bob', bits(1, 2, 3))
    expect(race.pieces()).toEqual([1, 2, 3])
  })

  test('where parents are few, each is asked for more at a time', () => {
    const race = new Race({ tuning: { leastInFlight: 6 } })
    race.join('ann', everything)
    expect(race.at('ann').length).toBe(6)
    race.join('bob', everything)
    expect(race.at('bob').length).toBe(3)
  })

  test('who reads the source is asked for anything, even before it has told what it holds', () => {
    const race = new Race({ stated: bits() })
    race.join('seed', bits(), true)
    expect(race.at('seed').map(({ piece }) => piece)).toEqual([undefined])
    race.receive(race.at('seed')[0]!, 5)
    expect(race.download.pieces.have.has(5)).toBe(true)
  })

  test('who has read all of the source is a parent like any other', () => {
    const race = new Race()
    race.join('ann', everything)
    race.join('seed', except(0), true)
    expect(race.at('seed')[0]!.piece).toBeUndefined()
    race.apply({ type: 'parent-has', parent: 'seed', pieces: [0] })
    race.receive(race.at('seed')[0]!, 8)
    expect(race.at('seed')[0]!.piece).toBeNumber()
  })

  test('a request for anything is given up when its choice came from elsewhere meanwhile', () => {
    const race = new Race({ stated: bits() })
    race.join('seed', bits(), true)
    const [ask] = race.at('seed')
    race.apply({ type: 'fed', piece: 5 })
    race.apply({ type: 'chosen', request: ask!.id, piece: 5 })
    expect(race.cancelled).toContain(ask!)
  })

  test('pieces that the source is about to bring are asked of nobody, until it stops', () => {
    const race = new Race({ stated: bits(), tuning: { leastPipeline: 16 } })
    race.apply({ type: 'feed', from: 0, to: 12 })
    race.join('ann', everything)
    race.join('bob', everything)
    race.apply({ type: 'stated', from: 0, to: layout.count })
    expect(race.pieces()).toEqual([12, 13, 14, 15])
    race.apply({ type: 'feed', from: 0, to: 0 })
    expect(race.pieces()).toEqual([...everything.indexes()])
  })

  test('a piece that the source brought is no longer fetched from a parent', () => {
    const race = new Race({ stated: bits() })
    race.join('ann', bits(6))
    race.join('bob', bits(6))
    race.apply({ type: 'stated', from: 6, to: 7 })
    const [request] = [...race.open.values()]
    expect(request!.piece).toBe(6)
    race.apply({ type: 'fed', piece: 6 })
    expect(race.cancelled).toEqual([request!])
  })
})

describe('a late piece', () => {
  /** `slow` has been sent for piece 0 and does not answer; everything else is here. */
  function lateAt(slow: string): { race: Race; request: Request } {
    const race = new Race({ have: except(0), tuning: { hedgeFactor: 2, hedgeLeastMs: 100 } })
    race.join(slow, bits(0))
    const request = race.at(slow)[0]!
    race.apply({ type: 'chosen', request: request.id, piece: 0 })
    return { race, request }
  }

  test('is asked of a second parent after a multiple of the usual time, not before', () => {
    const { race } = lateAt('slow')
    race.join('ann', everything)
    race.wait(1500)
    expect(race.at('ann')).toEqual([])
    race.wait(1000)
    expect(race.at('ann').map(({ piece }) => piece)).toEqual([0])
  })

  test('is not late while a limit here keeps the request back: it was sent when that let it go', () => {
    const race = new Race({ have: except(0), tuning: { hedgeFactor: 2, hedgeLeastMs: 100 } })
    race.join('slow', bits(0))
    const { id } = race.at('slow')[0]!
    race.apply({ type: 'queued', request: id, waits: true })
    race.join('ann', everything)
    race.wait(60_000)
    race.apply({ type: 'queued', request: id, waits: false })
    race.apply({ type: 'chosen', request: id, piece: 0 })
    race.wait(1500)
    expect(race.at('ann')).toEqual([])
    race.wait(1000)
    expect(race.at('ann').map(({ piece }) => piece)).toEqual([0])
  })

  test('is never asked of the same parent again, nor of a third', () => {
    const { race } = lateAt('slow')
    race.wait(5000)
    expect(race.open.size).toBe(1)
    race.join('ann', everything)
    race.join('bob', everything)
    race.wait(5000)
    expect(race.open.size).toBe(2)
  })

  test('comes from whoever is faster, and the other request is cancelled', () => {
    const { race, request } = lateAt('slow')
    race.join('ann', everything)
    race.wait(5000)
    race.receive(race.at('ann')[0]!)
    expect(race.cancelled).toEqual([request])
    expect(race.download.done).toBe(true)
  })

  test('is asked again when the request for it ends without it', () => {
    const { race, request } = lateAt('slow')
    race.join('ann', everything)
    race.refuse(request, 'broken')
    expect(race.at('ann').map(({ piece }) => piece)).toEqual([0])
  })

  test('stands in a second line sooner while nothing comes here, and in the one that moves', () => {
    const race = new Race({
      have: except(0, 1),
      tuning: { leastInFlight: 1, idleHedgeFactor: 0.5, idleHedgeLeastMs: 100 },
    })
    race.join('slow', bits(0))
    race.wait(600)
    // Whoever told of it later is asked as soon as it tells.
    race.join('ann', bits())
    race.apply({ type: 'parent-has', parent: 'ann', pieces: [0] })
    expect(race.at('ann').map(({ piece }) => piece)).toEqual([0])
    const [waits] = race.at('slow')
    race.apply({ type: 'chosen', request: race.at('ann')[0]!.id, piece: 0 })
    expect(race.cancelled).toEqual([waits!])
  })

  test('waits in one line while something else comes here', () => {
    const race = new Race({
      have: except(0, 1),
      tuning: { leastInFlight: 1, idleHedgeFactor: 0.5, idleHedgeLeastMs: 100 },
    })
    race.join('quick', bits(1))
    race.apply({ type: 'chosen', request: race.at('quick')[0]!.id, piece: 1 })
    race.join('slow', bits(0))
    race.wait(600)
    race.join('ann', bits())
    race.apply({ type: 'parent-has', parent: 'ann', pieces: [0] })
    expect(race.at('ann')).toEqual([])
  })

  test('is one of few: no more than so many pieces are asked for twice at once', () => {
    const race = new Race({ tuning: { leastPipeline: 16, mostHedges: 2 } })
    race.join('slow', everything)
    race.join('bob', bits(0))
    for (const request of race.at('slow')) {
      if (request.piece === undefined) race.apply({ type: 'chosen', request: request.id, piece: request.id % 16 })
    }
    race.join('ann', everything)
    race.wait(10_000)
    const asked = race.pieces().filter((piece) => piece >= 0)
    expect(asked.length - new Set(asked).size).toBe(2)
  })
})

describe('a parent', () => {
  test('that is busy is left alone for a while and then asked again', () => {
    const race = new Race()
    race.join('ann', everything)
    race.refuse(race.at('ann')[0]!, 'busy')
    race.wait(50)
    expect(race.open.size).toBe(0)
    race.wait(400)
    expect(race.at('ann').length).toBe(1)
  })

  test('that no longer has a piece is not asked for it again', () => {
    const race = new Race({ have: except(4, 5), stated: bits() })
    race.join('bob', bits(4))
    race.join('ann', bits(4))
    race.apply({ type: 'stated', from: 4, to: 5 })
    const [request] = [...race.open.values()]
    race.refuse(request!, 'missing')
    const [second] = [...race.open.values()]
    expect(second!.parent).not.toBe(request!.parent)
    expect(race.download.pieces.availability[4]).toBe(1)
  })

  test('that has nothing at all for us although it joined is not asked in a loop, and left in the end', () => {
    const race = new Race()
    race.join('ann', everything)
    let asked = 0
    for (; race.at('ann').length > 0 && asked < 100; asked++) {
      race.refuse(race.at('ann')[0]!, 'missing')
      expect(race.open.size).toBe(0)
      race.wait(1000)
    }
    expect(asked).toBe(defaultTuning.parentFailures)
    expect(race.others).toContainEqual({ do: 'drop', parent: 'ann', reason: 'does not answer' })
  })

  test('that fails again and again is left, one that answers in between is not', () => {
    const race = new Race()
    race.join('ann', everything)
    race.join('bob', everything)
    for (let round = 0; round < 12; round++) {
      race.wait(1000)
      const [ann] = race.at('ann')
      if (ann) race.refuse(ann, 'broken')
      const [bob] = race.at('bob')
      if (bob && round % 2 === 0) race.refuse(bob, 'broken')
      else if (bob) race.receive(bob, bob.piece ?? race.download.pieces.have.nextMissing(0))
    }
    expect([...race.download.parents.keys()]).toEqual(['bob'])
    expect(race.others).toContainEqual({ do: 'drop', parent: 'ann', reason: 'does not answer' })
  })

  test('that sent wrong bytes is left, and the piece is fetched from another', () => {
    const race = new Race({ have: except(7) })
    race.join('liar', bits(7))
    race.join('ann', bits(7))
    const [lie] = race.at('liar')
    expect(lie).toBeDefined()
    race.arrive(lie!, 7)
    race.apply({ type: 'rejected', piece: 7, parent: 'liar' })
    expect(race.others).toContainEqual({ do: 'drop', parent: 'liar', reason: 'sent wrong bytes' })
    expect(race.at('ann').length).toBe(1)
    race.receive(race.at('ann')[0]!, 7)
    expect(race.download.done).toBe(true)
  })

  test('whose piece could not be verified stays', () => {
    const race = new Race({ stated: bits() })
    race.join('seed', bits(), true)
    race.arrive(race.at('seed')[0]!, 3)
    race.apply({ type: 'rejected', piece: 3 })
    expect(race.download.parents.has('seed')).toBe(true)
    expect(race.download.pieces.have.has(3)).toBe(false)
  })

  test('that leaves has its requests cancelled and its pieces fetched from others', () => {
    const race = new Race({ tuning: { leastPipeline: 16 } })
    race.join('ann', everything)
    race.join('bob', everything)
    const gone = race.at('ann')
    expect(gone.length).toBeGreaterThan(0)
    race.apply({ type: 'parent-left', parent: 'ann' })
    expect(race.cancelled).toEqual(gone)
    expect(race.at('bob').length).toBe(16)
  })

  test('that was the last one makes the download ask the scheduler', () => {
    const race = new Race()
    race.join('ann', everything)
    race.apply({ type: 'parent-left', parent: 'ann' })
    expect(race.others).toEqual([{ do: 'ask', stalled: false }])
  })

  test('that tells its state again keeps its requests, and what it no longer holds does not count', () => {
    const race = new Race({ have: except(1, 2, 3) })
    race.join('ann', bits(1, 2))
    race.join('bob', bits(1, 2))
    const before = [...race.open.values()]
    race.join('ann', bits(2, 3))
    expect(race.cancelled).toEqual([])
    expect([...race.open.values()].slice(0, before.length)).toEqual(before)
    expect([1, 2, 3].map((piece) => race.download.pieces.availability[piece])).toEqual([1, 2, 1])
  })
})

describe('a download', () => {
  test('that gets nothing for a while asks the scheduler for help, and again at intervals', () => {
    const race = new Race()
    race.join('ann', everything)
    race.wait(defaultTuning.stallMs - 1)
    expect(race.others).toEqual([])
    race.wait(2)
    expect(race.others).toEqual([{ do: 'ask', stalled: true }])
    race.wait(10)
    expect(race.others.length).toBe(1)
    race.wait(defaultTuning.stallMs)
    expect(race.others.length).toBe(2)
  })

  test('that reads the source for others asks parents only for whoever reads here, or when that is over or brings nothing', () => {
    const race = new Race()
    race.apply({ type: 'feeding', running: true })
    race.join('a', everything)
    race.wait(1000)
    expect(race.pieces()).toEqual([])
    race.apply({ type: 'reader-at', reader: 1, piece: 0 })
    expect(race.pieces()).not.toEqual([])
    const other = new Race()
    other.apply({ type: 'feeding', running: true })
    other.join('a', everything)
    other.apply({ type: 'feeding', running: false })
    expect(other.pieces()).not.toEqual([])
    const silent = new Race()
    silent.apply({ type: 'feeding', running: true })
    silent.join('a', everything)
    silent.wait(defaultTuning.stallMs + 1)
    expect(silent.pieces()).not.toEqual([])
  })

  test('is not stalled while all that came waits for the disk, but is while it waits to be verified', () => {
    for (const verifiable of [true, false]) {
      const race = new Race({ tuning: { stallMs: 2000 }, stated: verifiable ? everything : bits() })
      race.join('ann', except(5), true)
      race.arrive(race.at('ann')[0]!, 3)
      race.apply({ type: 'parent-left', parent: 'ann' })
      race.others.length = 0
      for (let i = 0; i < 12; i++) race.wait(250)
      expect(race.others.some((command) => command.do === 'ask' && command.stalled)).toBe(!verifiable)
    }
  })

  test('is not stalled while all that it asked for waits for a limit here, but is when one of them was sent', () => {
    for (const sent of [false, true]) {
      const race = new Race({ tuning: { stallMs: 2000, leastPipeline: 2 } })
      race.join('ann', everything)
      const requests = race.at('ann')
      for (const { id } of requests) race.apply({ type: 'queued', request: id, waits: true })
      if (sent) race.apply({ type: 'queued', request: requests[1]!.id, waits: false })
      for (let i = 0; i < 12; i++) race.wait(250)
      expect(race.others.some((command) => command.do === 'ask' && command.stalled)).toBe(sent)
    }
  })

  test('is not stalled while its own feed goes on', () => {
    const race = new Race()
    for (let i = 0; i < 8; i++) {
      race.wait(defaultTuning.stallMs / 2)
      race.apply({ type: 'feed', from: i, to: i + 4 })
    }
    expect(race.others).toEqual([])
  })

  test('is over with its last piece, once, and then answers nothing', () => {
    const race = new Race({ have: except(2), tuning: { leastPipeline: 2 } })
    race.join('ann', bits(2))
    race.join('bob', bits(2))
    race.receive([...race.open.values()][0]!, 2)
    expect(race.others).toEqual([{ do: 'complete' }])
    race.join('cat', everything)
    race.wait(60_000)
    race.apply({ type: 'fed', piece: 2 })
    expect(race.others).toEqual([{ do: 'complete' }])
    expect(race.open.size).toBe(0)
  })

  test('with the same dice and the same events does the same', () => {
    const play = () => {
      const race = new Race()
      for (const parent of ['ann', 'bob', 'cat']) race.join(parent, everything)
      const order: string[] = []
      while (!race.download.done) {
        const [next] = race.open.values()
        race.now += 5
        order.push(`${next!.parent} ${next!.piece}`)
        race.receive(next!, next!.piece ?? race.download.pieces.have.nextMissing(0))
      }
      return order
    }
    expect(play()).toEqual(play())
  })
})

test('no more is asked for than there is to be had, when the parent has the choice', () => {
  for (const feeding of [false, true]) {
    const race = new Race({ have: except(3, 9), tuning: { leastInFlight: 8 } })
    race.join('ann', feeding ? bits(3) : everything, feeding)
    expect(race.at('ann').map(({ piece }) => piece)).toEqual([undefined, undefined])
    const [first] = race.at('ann')
    race.apply({ type: 'chosen', request: first!.id, piece: 9 })
    race.receive(first!)
    race.apply({ type: 'tick' })
    expect(race.at('ann').length).toBe(1)
  }
})

describe('a blob of which a part is wanted', () => {
  const aim = (race: Race, who: string, ...runs: [number, number][]) => race.apply({ type: 'aimed', who, runs })

  test('is asked for nothing else, of whoever has it', () => {
    const race = new Race({ whole: false })
    race.join('ann', everything)
    expect(race.open.size).toBe(0)
    aim(race, 'reader', [3, 5])
    const unwanted = [...race.any.values()].map((any) => [...everything.indexes()].filter((i) => !any.unwanted.has(i)))
    const named = race.at('ann').flatMap(({ piece }) => (piece === undefined ? [] : [piece]))
    for (const pieces of [...unwanted, named]) for (const piece of pieces) expect([3, 4]).toContain(piece)
    expect(race.open.size).toBeWithin(1, 3)
  })

  test('is asked for once of one parent that has all of it, and leaves the choice to that', () => {
    const race = new Race({ whole: false, tuning: { leastInFlight: 8 } })
    race.join('seed', everything)
    aim(race, 'reader', [3, 6])
    race.apply({ type: 'tick' })
    expect(race.at('seed').map(({ piece }) => piece)).toEqual([undefined, undefined, undefined])
    for (const [i, { id }] of race.at('seed').entries()) race.apply({ type: 'chosen', request: id, piece: 3 + i })
    for (const { id, piece } of race.at('seed')) {
      race.open.delete(id)
      race.apply({ type: 'arrived', request: id, piece: piece! })
      race.apply({ type: 'stored', piece: piece! })
    }
    expect([race.open.size, race.cancelled.length]).toEqual([0, 0])
    expect(race.download.idle).toBe(true)
  })

  test('is asked for by name of a parent that has some of it, beside one that has all', () => {
    const race = new Race({ whole: false, tuning: { leastInFlight: 8 } })
    race.join('seed', everything)
    race.join('ann', bits(3))
    aim(race, 'reader', [3, 6])
    race.apply({ type: 'tick' })
    expect(race.at('ann').map(({ piece }) => piece)).toEqual([3])
    expect(race.at('seed').length).toBeWithin(2, 4)
  })

  test('asks who reads the source for no more than is waited for, before that has anything', () => {
    const race = new Race({ whole: false, tuning: { leastInFlight: 8 } })
    race.join('seed', bits(), true)
    expect(race.open.size).toBe(0)
    aim(race, 'reader', [3, 5])
    expect(race.at('seed')).toHaveLength(2)
    for (const { unwanted } of race.any.values()) expect(unwanted.count).toBe(14)
  })

  test('takes back what nobody waits for any more, and not what has begun to come', () => {
    const race = new Race({ whole: false, tuning: { leastInFlight: 8 } })
    race.join('ann', except(0))
    race.join('bob', except(0))
    aim(race, 'reader', [3, 7])
    const [first] = [...race.open.values()]
    race.apply({ type: 'chosen', request: first!.id, piece: first!.piece! })
    aim(race, 'reader')
    expect([...race.open.values()]).toEqual([first!])
  })

  test('takes back requests for just anything that wait for what came elsewhere, for what is wanted now', () => {
    const race = new Race({ whole: false, tuning: { leastInFlight: 4, mostPipeline: 4 } })
    race.join('seed', bits(), true)
    aim(race, 'reader', [0, 4])
    expect(race.at('seed')).toHaveLength(4)
    aim(race, 'reader', [0, 8])
    for (const piece of [0, 1, 2, 3]) race.apply({ type: 'fed', piece })
    race.apply({ type: 'tick' })
    const open = race.at('seed').map(({ unwanted }) => [4, 5, 6, 7].filter((piece) => !unwanted!.has(piece)))
    expect(open).toHaveLength(4)
    for (const pieces of open) expect(pieces).toEqual([4, 5, 6, 7])
  })

  test('is idle when all of that is here, asks nobody for help then, and goes on when more is waited for', () => {
    const race = new Race({ whole: false })
    race.join('ann', everything)
    aim(race, 'reader', [3, 4])
    race.apply({ type: 'fed', piece: 3 })
    expect(race.download.idle).toBe(true)
    race.now += 60_000
    race.apply({ type: 'tick' })
    expect(race.others).toEqual([])
    aim(race, 'reader', [9, 10])
    expect(race.download.idle).toBe(false)
    race.apply({ type: 'tick' })
    expect(race.others).toEqual([])
  })

  test('is asked for all of it as soon as that is wanted', () => {
    const race = new Race({ whole: false, tuning: { leastInFlight: 32, mostPipeline: 32 } })
    race.join('ann', everything)
    race.join('bob', everything)
    race.apply({ type: 'whole' })
    expect(race.open.size).toBeGreaterThanOrEqual(layout.count)
  })
})

describe('what nobody waits for yet of a part', () => {
  const ahead = (from: number, to: number): DownloadEvent => ({
    ...{ type: 'aimed', who: 'later', runs: [] },
    ahead: [[from, to]],
  })

  test('comes in about the order in which it was asked for, little of it at once for all downloads together', () => {
    const link = new Link(0)
    const races = [1, 2].map(() => new Race({ whole: false, link, tuning: { leastInFlight: 64, aheadWindow: 3 } }))
    const [first, second] = races
    for (const race of races) for (const parent of ['ann', 'bob']) race.join(parent, everything)
    first!.apply(ahead(10, 30))
    expect(first!.pieces().every((piece) => piece >= 10 && piece < 16)).toBe(true)
    expect(first!.open.size).toBe(4)
    second!.apply(ahead(0, 9))
    expect(second!.open.size).toBe(0)
    second!.apply({ type: 'aimed', who: 'reader', runs: [[9, 10]] })
    expect(second!.pieces()).toEqual([9])
    for (const request of [...first!.open.values()].slice(0, 2)) first!.receive(request)
    expect(first!.open.size).toBe(2)
    second!.receive([...second!.open.values()][0]!)
    expect(link).toMatchObject({ awaited: 0, ahead: 4 })
    for (const race of races) race.download.close()
    expect(link).toMatchObject({ awaited: 0, ahead: 0 })
  })
})

test('what is asked for ahead is asked for anew when somebody waits for it, unless it is being sent', () => {
  const race = new Race({ whole: false, tuning: { leastInFlight: 8 } })
  race.join('ann', bits(1, 2, 3))
  race.join('bob', bits(1, 2, 3))
  race.apply({ type: 'aimed', who: 'later', runs: [], ahead: [[1, 4]] })
  const [first, second] = [...race.open.values()]
  expect([...race.open.values()].map(({ ahead }) => ahead)).toEqual([true, true, true])
  race.apply({ type: 'chosen', request: first!.id, piece: first!.piece! })
  const runs = [first!, second!].map(({ piece }): [number, number] => [piece!, piece! + 1])
  race.apply({ type: 'aimed', who: 'reader', runs })
  expect(race.cancelled).toEqual([second!])
  const anew = [...race.open.values()].filter(({ piece }) => piece === second!.piece)
  expect(anew.map((request) => [request.aimed, request.ahead])).toEqual([[true, undefined]])
})

describe('who waits for a part', () => {
  test('reads it step by step while that is a few pieces', () => {
    const race = new Race({ whole: false, tuning: { stepPieces: 2, leastInFlight: 8 } })
    race.join('ann', bits(1, 2, 3))
    race.join('bob', bits(1, 2, 3))
    race.apply({ type: 'aimed', who: 'reader', runs: [[1, 4]] })
    const steps = () => [...race.open.values()].map((request) => race.download.isStep(request))
    expect(steps()).toEqual([false, false, false])
    race.receive([...race.open.values()][0]!)
    expect(steps()).toEqual([true, true])
  })
})

describe('a piece that two parents begin to send', () => {
  test('comes from the first, unless that takes unusually long', () => {
    const race = new Race({ whole: false, tuning: { leastInFlight: 8 } })
    race.join('ann', everything)
    race.apply({ type: 'aimed', who: 'reader', runs: [[5, 6]] })
    race.join('bob', bits(5))
    const [ann] = race.at('ann')
    const [bob] = race.at('bob')
    expect(race.any.has(ann!.id)).toBe(true)
    race.apply({ type: 'chosen', request: bob!.id, piece: 5 })
    race.apply({ type: 'chosen', request: ann!.id, piece: 5 })
    expect(race.cancelled).toEqual([ann!])
    race.now += 60_000
    race.apply({ type: 'tick' })
    const [late] = race.at('ann')
    race.apply({ type: 'chosen', request: late!.id, piece: 5 })
    expect([race.cancelled.length, late!.started]).toEqual([1, true])
  })
})

describe('a blob that is wanted whole, some of it first', () => {
  test('brings what is waited for before what is rarer, and before what a reader is not about to need', () => {
    const race = new Race({ tuning: { leastPipeline: 2, mostPipeline: 2, leastInFlight: 1 } })
    race.apply({ type: 'aimed', who: 'reader', runs: [[12, 14]] })
    race.join('ann', except(0))
    expect(
      race
        .at('ann')
        .map(({ piece }) => piece)
        .sort(),
    ).toEqual([12, 13])
  })

  test('asks who reads the source for that first', () => {
    const race = new Race({ tuning: { leastPipeline: 3, mostPipeline: 3, leastInFlight: 1 } })
    race.apply({ type: 'aimed', who: 'reader', runs: [[12, 14]] })
    race.join('seed', bits(), true)
    const wanted = [...race.any.values()].map(({ unwanted }) => layout.count - unwanted.count)
    expect(wanted).toEqual([2, 2, 16])
  })
})
