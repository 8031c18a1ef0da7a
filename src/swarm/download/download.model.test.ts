/** A download under any order of events, checked against what can be counted from the outside. */
import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { seededRandom } from '../../clock.ts'
import { Bitmap } from '../../piece/bitmap.ts'
import { layoutOf } from '../../piece/layout.ts'
import type { Run } from './aims.ts'
import { Download, type DownloadCommand, type DownloadEvent } from './download.ts'
import type { Request } from './parent.ts'
import type { PieceFacts } from './pieces.ts'
import { defaultTuning } from './tuning.ts'

const KiB = 1024
const pieces = 12
const layout = layoutOf(pieces * 256 * KiB)
const tuning = { ...defaultTuning, mostInFlight: 10, mostPipeline: 4, leastPipeline: 2, mostHedges: 2 }
const names = ['ann', 'bob', 'cat', 'dan']

type Step = { kind: string; parent: number; piece: number; bits: number; flag: boolean; wait: number }

const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.constantFrom(
    ...['join', 'has', 'leave', 'state', 'choose', 'choose', 'arrive', 'arrive', 'arrive', 'store', 'store', 'reject'],
    ...[
      'queue',
      'refuse',
      'feed',
      'fed',
      'look',
      'lost',
      'reader',
      'reader-left',
      'tick',
      'aim',
      'aim',
      'unaim',
      'whole',
    ],
  ),
  parent: fc.nat({ max: names.length - 1 }),
  // Past the end too: what others say need not make sense.
  piece: fc.nat({ max: pieces + 1 }),
  bits: fc.nat({ max: 2 ** pieces - 1 }),
  flag: fc.boolean(),
  wait: fc.nat({ max: 900 }),
})

const covering =
  (piece: number) =>
  ([from, to]: Run) =>
    piece >= from && piece < to

/** In which of the sets of pieces it is. */
function setsOf({ lacking, free, due, awaited }: PieceFacts, piece: number): Record<string, boolean> {
  return { lacking: lacking.has(piece), free: free.has(piece), due: due.has(piece), awaited: awaited.has(piece) }
}

/** What a node around the download would know: the requests it was told to make, and what is being written. */
class Shell {
  readonly download: Download
  readonly requests = new Map<number, Request>()
  readonly stated = new Bitmap(layout.count)
  readonly writing: { piece: number; parent: string }[] = []
  /** Of these, pieces that lie on the disk already. */
  readonly looked = new Set<number>()
  feed = { from: 0, to: 0 }
  now = 0
  completed = 0
  /** By who aims at them: pieces, and pieces ahead. */
  readonly aims = new Map<string, { runs: Run[]; ahead: Run[] }>()
  whole: boolean

  constructor(seed: number, have: Bitmap, whole: boolean) {
    this.whole = whole
    this.download = new Download(layout, have, this.stated, tuning, seededRandom(seed), 0, whole)
  }

  wanted(piece: number): boolean {
    const covers = covering(piece)
    return this.whole || [...this.aims.values()].some(({ runs, ahead }) => [...runs, ...ahead].some(covers))
  }

  waitedFor(piece: number): boolean {
    return [...this.aims.values()].some(({ runs }) => runs.some(covering(piece)))
  }

  apply(event: DownloadEvent): void {
    const inUse = new Set([...this.requests.values()].map(({ piece }) => piece))
    const commands = this.download.apply(event, this.now)
    for (const command of commands) this.#carryOut(command, inUse)
    this.check()
  }

  #carryOut(command: DownloadCommand, before: ReadonlySet<number | undefined>): void {
    switch (command.do) {
      case 'request': {
        const { request, any } = command
        const parent = this.download.parents.get(request.parent)!
        expect(this.requests.has(request.id)).toBe(false)
        if (any) {
          for (let piece = 0; piece < layout.count; piece++) {
            if (this.download.pieces.have.has(piece) || !this.wanted(piece)) expect(any.unwanted.has(piece)).toBe(true)
          }
        } else {
          const piece = request.piece!
          expect(parent.have.has(piece)).toBe(true)
          expect(this.download.pieces.have.has(piece)).toBe(false)
          const twice = [...this.requests.values()].find((other) => other.piece === piece)
          // Only what has been on its way for long is asked for again, and at somebody else.
          if (!twice) {
            expect(this.stated.has(piece)).toBe(true)
            expect(this.wanted(piece)).toBe(true)
          } else {
            expect(before.has(piece)).toBe(true)
            const idle = [...this.requests.values()].every(({ started }) => !started)
            const patience = idle ? tuning.idleHedgeLeastMs : tuning.hedgeLeastMs
            expect(twice.queued ?? false).toBe(false)
            expect(this.now - twice.sentAt).toBeGreaterThan(patience)
            expect(twice.parent).not.toBe(request.parent)
          }
        }
        this.requests.set(request.id, request)
        expect(this.requests.size + this.inMemory()).toBeLessThanOrEqual(tuning.mostInFlight)
        break
      }
      case 'cancel':
        expect(this.requests.delete(command.request.id)).toBe(true)
        break
      case 'complete':
        this.completed++
        break
    }
  }

  /** Pieces that are in memory until the disk has them. */
  inMemory(): number {
    return this.writing.length - this.looked.size
  }

  /** Everything the download keeps count of, counted anew. */
  check(): void {
    const { download, requests, writing, stated, feed } = this
    if (download.done) {
      expect(requests.size).toBe(0)
      return
    }
    const open = [...requests.values()].filter(({ piece }) => piece === undefined)
    const { size, open: opened, openAimed, started, queued, oldest } = download.requests
    const sent = [...requests.values()].filter(({ queued }) => !queued)
    expect(oldest?.sentAt).toBe(sent.length > 0 ? Math.min(...sent.map(({ sentAt }) => sentAt)) : undefined)
    expect({ size, opened, openAimed, started, queued }).toEqual({
      size: requests.size,
      opened: open.length,
      openAimed: open.filter(({ aimed }) => aimed).length,
      started: [...requests.values()].filter(({ started }) => started).length,
      queued: requests.size - sent.length,
    })
    expect(requests.size).toBeLessThanOrEqual(tuning.mostInFlight)
    const { pieces } = download
    let rare = 0
    for (let piece = 0; piece < layout.count; piece++) {
      const bound = [...requests.values()].filter((request) => request.piece === piece).length
      const asked = bound + writing.filter((w) => w.piece === piece).length
      const holders = [...download.parents.values()].filter(({ have }) => have.has(piece)).length
      const fed = piece >= feed.from && piece < feed.to
      const lacks = !download.pieces.have.has(piece) && this.wanted(piece)
      const open = lacks && !fed && asked === 0
      const due = open && this.waitedFor(piece)
      const free = open && stated.has(piece)
      if (free && holders === 1) rare++
      expect({ availability: pieces.availability[piece], asked: pieces.asked[piece] }).toEqual({
        availability: holders,
        asked,
      })
      expect(setsOf(pieces, piece)).toEqual({ lacking: lacks, free, due, awaited: due && free })
    }
    expect([pieces.rare, pieces.arrivals, pieces.inMemory]).toEqual([rare, writing.length, this.inMemory()])
    if (!this.whole) {
      const wanted = Array.from({ length: layout.count }, (_, piece) => piece).filter((piece) => this.wanted(piece))
      expect(download.idle).toBe(wanted.every((piece) => download.pieces.have.has(piece)))
      // Nobody sends what nobody waits for any more, unless it has begun.
      for (const { piece, started } of requests.values()) {
        if (piece !== undefined && !started) expect(this.wanted(piece)).toBe(true)
      }
    }
    for (const parent of download.parents.values()) {
      expect([...parent.requests.values()]).toEqual([...requests.values()].filter((r) => r.parent === parent.id))
      expect(parent.requests.size).toBeLessThanOrEqual(tuning.mostPipeline)
    }
  }

  request(index: number): Request | undefined {
    return [...this.requests.values()][index % Math.max(1, this.requests.size)]
  }

  /** A limit lets it go, if one kept it back. */
  send(request: Request): void {
    if (request.queued) this.apply({ type: 'queued', request: request.id, waits: false })
  }

  arrive(request: Request, piece: number): void {
    this.send(request)
    this.requests.delete(request.id)
    this.writing.push({ piece, parent: request.parent })
    this.apply({ type: 'arrived', request: request.id, piece })
  }

  settle(at: number, verdict: 'stored' | 'rejected' | 'lie'): void {
    const [written] = this.writing.splice(at % Math.max(1, this.writing.length), 1)
    if (!written) return
    const { piece, parent } = written
    this.looked.delete(piece)
    if (verdict === 'stored') this.apply({ type: 'stored', piece })
    else this.apply({ type: 'rejected', piece, ...(verdict === 'lie' ? { parent } : {}) })
  }

  state(from: number, to: number): void {
    for (let i = from; i < to; i++) this.stated.set(i)
    this.apply({ type: 'stated', from, to })
  }

  step({ kind, parent, piece, bits, flag, wait }: Step): void {
    this.now += wait
    const name = names[parent]!
    const request = this.request(piece + bits)
    const inside = piece % layout.count
    switch (kind) {
      case 'join': {
        const have = new Bitmap(layout.count, new Uint8Array([bits, bits >> 8]))
        return this.apply({ type: 'parent-joined', parent: name, have, feeding: flag })
      }
      case 'has':
        return this.apply({ type: 'parent-has', parent: name, pieces: [piece, piece + 1, piece] })
      case 'leave':
        return this.apply({ type: 'parent-left', parent: name })
      case 'state':
        return this.state(inside, Math.min(inside + 4, layout.count))
      case 'choose':
        if (!request) return
        this.send(request)
        return this.apply({ type: 'chosen', request: request.id, piece })
      case 'queue':
        if (request?.queued) this.send(request)
        else if (request && !request.started) this.apply({ type: 'queued', request: request.id, waits: true })
        return
      case 'arrive':
        if (request) this.arrive(request, request.piece ?? inside)
        return
      case 'store':
        return this.settle(piece, 'stored')
      case 'reject':
        return this.settle(piece, flag ? 'lie' : 'rejected')
      case 'refuse': {
        if (!request) return
        this.send(request)
        this.requests.delete(request.id)
        const reason = (['busy', 'missing', 'broken'] as const)[bits % 3]!
        return this.apply({ type: 'refused', request: request.id, reason })
      }
      case 'feed':
        this.feed = flag ? { from: inside, to: inside + 4 } : { from: 0, to: 0 }
        return this.apply({ type: 'feed', ...this.feed })
      case 'fed':
        return this.apply({ type: 'fed', piece: inside })
      case 'lost':
        return this.apply({ type: 'lost', pieces: [inside, (inside + 5) % layout.count] })
      case 'look':
        if (this.download.done || this.download.pieces.have.has(inside)) return
        this.writing.push({ piece: inside, parent: name })
        this.looked.add(inside)
        return this.apply({ type: 'looking', pieces: [inside] })
      case 'reader':
        return this.apply({ type: 'reader-at', reader: parent, piece: inside })
      case 'reader-left':
        return this.apply({ type: 'reader-left', reader: parent })
      case 'aim': {
        const runs: Run[] = [[inside, inside + 1 + (bits % 3)]]
        if (flag) runs.push([bits % layout.count, (bits % layout.count) + 2])
        const ahead: Run[] = wait % 2 === 0 ? [[inside + 3, inside + 5]] : []
        this.aims.set(name, { runs, ahead })
        return this.apply({ type: 'aimed', who: name, runs, ahead })
      }
      case 'unaim':
        this.aims.delete(name)
        return this.apply({ type: 'aimed', who: name, runs: [] })
      case 'whole':
        // Seldom, or nothing would be left to see of the rest.
        if (!flag) return
        this.whole = true
        return this.apply({ type: 'whole' })
      default:
        return this.apply({ type: 'tick' })
    }
  }
}

const start = fc.record({ seed: fc.nat(), have: fc.nat({ max: 2 ** (pieces - 1) - 1 }), whole: fc.boolean() })
const steps = fc.array(step, { maxLength: 120, size: 'max' })

function shellOf({ seed, have, whole }: { seed: number; have: number; whole: boolean }): Shell {
  return new Shell(seed, new Bitmap(layout.count, new Uint8Array([have, have >> 8])), whole)
}

test('what a download keeps count of is what can be counted, whatever happens in which order', () => {
  fc.assert(
    fc.property(start, steps, (init, events) => {
      const shell = shellOf(init)
      for (const event of events) shell.step(event)
    }),
    { numRuns: 150 },
  )
}, 30_000)

test('a download completes once, as soon as one parent has every piece, whatever happened before', () => {
  fc.assert(
    fc.property(start, steps, fc.boolean(), (init, events, feeding) => {
      const shell = shellOf(init)
      for (const event of events) shell.step(event)
      shell.feed = { from: 0, to: 0 }
      shell.apply({ type: 'feed', from: 0, to: 0 })
      shell.whole = true
      shell.apply({ type: 'whole' })
      shell.state(0, layout.count)
      for (const name of names) shell.apply({ type: 'parent-left', parent: name })
      shell.apply({ type: 'parent-joined', parent: 'eve', have: Bitmap.full(layout.count), feeding })
      for (let rounds = 0; !shell.download.done && rounds < 4 * layout.count; rounds++) {
        shell.now += 10
        while (shell.writing.length > 0) shell.settle(0, 'stored')
        const next = shell.request(0)
        if (next) shell.arrive(next, next.piece ?? shell.download.pieces.have.nextMissing(0))
        else shell.apply({ type: 'tick' })
      }
      expect(shell.download.done).toBe(true)
      expect(shell.completed).toBe(1)
      expect(shell.download.pieces.have.complete).toBe(true)
    }),
    { numRuns: 100 },
  )
}, 30_000)

test('of a blob that is wanted in part everything that is waited for comes, from one parent that has every piece', () => {
  const aims = fc.array(fc.tuple(fc.nat({ max: pieces - 1 }), fc.integer({ min: 1, max: 4 })), {
    minLength: 1,
    maxLength: 4,
  })
  fc.assert(
    fc.property(start, steps, aims, fc.boolean(), (init, events, wanted, feeding) => {
      const shell = shellOf({ ...init, whole: false })
      for (const event of events) if (event.kind !== 'whole') shell.step(event)
      shell.feed = { from: 0, to: 0 }
      shell.apply({ type: 'feed', from: 0, to: 0 })
      shell.state(0, layout.count)
      for (const name of names) shell.apply({ type: 'parent-left', parent: name })
      const runs = wanted.map(([from, length]): Run => [from, from + length])
      shell.aims.set('eve', { runs, ahead: [] })
      shell.apply({ type: 'aimed', who: 'eve', runs })
      shell.apply({ type: 'parent-joined', parent: 'eve', have: Bitmap.full(layout.count), feeding })
      for (let rounds = 0; !shell.download.idle && rounds < 4 * layout.count; rounds++) {
        shell.now += 10
        while (shell.writing.length > 0) shell.settle(0, 'stored')
        const next = shell.request(0)
        const due = shell.download.pieces.aimed().next()
        if (next) shell.arrive(next, next.piece ?? (due.done ? 0 : due.value))
        else shell.apply({ type: 'tick' })
      }
      expect(shell.download.idle).toBe(true)
      if (!shell.download.done) expect([...shell.requests.values()].filter(({ started }) => !started)).toEqual([])
    }),
    { numRuns: 100 },
  )
}, 30_000)
