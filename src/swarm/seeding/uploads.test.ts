import { describe, expect, setDefaultTimeout, test } from 'bun:test'
import { Bitmap } from '../../piece/bitmap.ts'
import { layoutOf } from '../../piece/layout.ts'
import { type Grant, UploadQueue, type UploadTuning } from './uploads.ts'

// Each takes its time on a busy machine.
setDefaultTimeout(60_000)

const layout = layoutOf(8 * 256 * 1024)
const tuning: UploadTuning = { leastSlots: 4, mostSlots: 16, crowdSlots: 4, mostWaiting: 6 }
const blob = 'the blob'

class Line {
  readonly have = Bitmap.full(layout.count)
  feeding = false
  gone = false
  now = 0
  #id = 0
  readonly queue: UploadQueue

  constructor(init: Partial<UploadTuning> = {}) {
    this.queue = new UploadQueue({ ...tuning, ...init }, () =>
      this.gone ? undefined : { layout, have: this.have, feeding: this.feeding },
    )
  }
  ask(peer: string, ...pieces: number[]): number {
    return this.askFor(blob, peer, pieces)
  }
  askFor(digest: string, peer: string, pieces: number[], background = false): number {
    this.queue.ask({ id: ++this.#id, peer, digest, wanted: { pieces }, background, at: this.now })
    return this.#id
  }
  /** Asks for what somebody waits for there, and may come from others. */
  step(peer: string, ...pieces: number[]): number {
    const id = ++this.#id
    this.queue.ask({ id, peer, digest: blob, wanted: { pieces }, follow: true, at: this.now })
    return id
  }
  referrals(): string[] {
    return this.queue.referrals(this.now).map(({ ask, piece, to }) => `${ask.peer} ${piece} from ${to}`)
  }
  /** Whose ask has no place when that child asks. */
  turnedAway(peer: string, piece: number): string | undefined {
    return this.queue.ask({ id: ++this.#id, peer, digest: blob, wanted: { pieces: [piece] }, at: this.now })?.peer
  }
  /** Grants and delivers `count` pieces one after the other, and tells who got them. */
  serve(count: number): Grant['ask'][] {
    return Array.from({ length: count }, () => {
      const [grant] = this.queue.grants(this.now, 1)
      this.queue.delivered(grant!.ask.id, this.now)
      return grant!.ask
    })
  }
  askAny(peer: string, unwanted: number[] = [], from = 0): number {
    const bitmap = new Bitmap(layout.count)
    for (const piece of unwanted) bitmap.set(piece)
    this.queue.ask({ id: ++this.#id, peer, digest: blob, wanted: { unwanted: bitmap, from }, at: this.now })
    return this.#id
  }
  grants(): string[] {
    return this.granted().map(({ ask, piece }) => `${ask.peer} ${piece}`)
  }
  granted(): Grant[] {
    return this.queue.grants(this.now)
  }
  /** Sends `pieces` to somebody, so that they count as sent. */
  send(...pieces: number[]): void {
    for (const piece of pieces) {
      const id = this.ask('earlier', piece)
      expect(this.grants()).toEqual([`earlier ${piece}`])
      this.queue.delivered(id, this.now)
    }
  }
}

describe('a child that is asked for anything', () => {
  test('gets the piece that was sent least, from the place on that it named', () => {
    const line = new Line()
    line.send(0, 1, 2, 5)
    line.askAny('ann', [], 1)
    line.askAny('bob', [], 5)
    line.askAny('cat', [], 7)
    expect(line.grants()).toEqual(['ann 3', 'bob 6', 'cat 7'])
  })

  test('gets none of what it does not want, nor what is not here', () => {
    const line = new Line()
    for (const piece of [4, 5, 6, 7]) line.have.clear(piece)
    line.askAny('ann', [0, 1, 2])
    expect(line.grants()).toEqual(['ann 3'])
  })

  test('waits when there is nothing for it, and gets the piece that comes', () => {
    const line = new Line()
    line.have.clear(7)
    line.askAny('ann', [0, 1, 2, 3, 4, 5, 6])
    expect(line.grants()).toEqual([])
    line.have.set(7)
    expect(line.grants()).toEqual(['ann 7'])
  })

  test('may name a place past the end', () => {
    const line = new Line()
    line.askAny('ann', [], 0xff_ffff)
    expect(line.grants()).toEqual(['ann 7'])
  })
})

test('of the pieces that were named, the one that was sent least goes out; of equals, the first', () => {
  const line = new Line()
  line.send(3)
  line.ask('ann', 3, 4, 5)
  line.ask('bob', 3)
  expect(line.grants()).toEqual(['ann 4', 'bob 3'])
})

test('indexes that are no pieces are passed over', () => {
  const line = new Line()
  line.ask('ann', 99, 2)
  line.ask('bob', 99)
  expect(line.grants()).toEqual(['ann 2'])
  expect(line.queue.waiting).toBe(1)
})

describe('the line', () => {
  test('is served in order, and what a child gets is decided when its turn comes', () => {
    const line = new Line({ leastSlots: 1 })
    const first = line.ask('ann', 0)
    line.ask('bob', 0, 1)
    line.ask('cat', 2)
    expect(line.grants()).toEqual(['ann 0'])
    line.queue.delivered(first, 5)
    // Piece 0 was sent meanwhile, so piece 1 is of more use now.
    expect(line.grants()).toEqual(['bob 1'])
  })

  test('is passed by who can be served when the first cannot', () => {
    const line = new Line()
    line.have.clear(0)
    line.ask('ann', 0)
    line.ask('bob', 1)
    expect(line.grants()).toEqual(['bob 1'])
    expect(line.queue.waiting).toBe(1)
  })

  test('has an end: who comes later is told so', () => {
    const line = new Line({ leastSlots: 1, mostWaiting: 2 })
    line.ask('ann', 0)
    line.grants()
    line.ask('bob', 0)
    line.ask('cat', 0)
    expect(line.turnedAway('dan', 0)).toBe('dan')
    expect(line.queue.waiting).toBe(2)
  })

  test('has room for everybody: whoever has most of it loses the newest, once it is full', () => {
    const line = new Line({ leastSlots: 1, mostWaiting: 6 })
    line.have.clear(7)
    for (const piece of [0, 1, 2, 3, 4, 5]) expect(line.turnedAway('greedy', piece)).toBeUndefined()
    expect(line.turnedAway('greedy', 6)).toBe('greedy')
    const away = ['ann', 'bob', 'bob', 'ann', 'bob', 'greedy', 'cat'].map((peer) => line.turnedAway(peer, 7))
    // Once all three have two, none of them gets a third, and the next child takes one of the first's.
    expect(away).toEqual(['greedy', 'greedy', 'greedy', 'greedy', 'bob', 'greedy', 'greedy'])
    // Its oldest one is still there.
    expect(line.grants()).toEqual(['greedy 0'])
    expect(line.queue.waiting).toBe(5)
  })

  test('counts those that wait, and none of what a child had before', () => {
    const line = new Line({ leastSlots: 1, mostWaiting: 2 })
    for (let i = 0; i < 5; i++) line.queue.withdraw(line.ask('ann', 0))
    line.send(0, 0, 0)
    expect([line.turnedAway('earlier', 0), line.turnedAway('bob', 0)]).toEqual([undefined, undefined])
    expect(line.turnedAway('ann', 0)).toBe('ann')
    expect(line.turnedAway('earlier', 0)).toBe('earlier')
  })

  test('forgets who withdrew, once', () => {
    const line = new Line()
    const id = line.ask('ann', 0)
    expect(line.queue.withdraw(id)).toBe(true)
    expect(line.queue.withdraw(id)).toBe(false)
    expect(line.grants()).toEqual([])
  })

  test('gives back who has waited since before a moment, and keeps the others', () => {
    const line = new Line()
    line.have.clear(0)
    line.ask('ann', 0)
    line.now = 10
    line.ask('bob', 0)
    expect(line.queue.expire(5).map(({ peer }) => peer)).toEqual(['ann'])
    expect(line.queue.expire(5)).toEqual([])
    expect(line.queue.waiting).toBe(1)
  })

  test('waits while the blob is not here', () => {
    const line = new Line()
    line.gone = true
    line.ask('ann', 0)
    expect(line.grants()).toEqual([])
    line.gone = false
    expect(line.grants()).toEqual(['ann 0'])
  })
})

describe('the turns', () => {
  const many = { mostWaiting: 1000 }

  test('go round the children, however much each has asked for', () => {
    const line = new Line(many)
    for (let i = 0; i < 50; i++) line.ask('greedy', i % 8)
    for (let i = 0; i < 5; i++) line.ask('ann', i)
    for (let i = 0; i < 5; i++) line.ask('bob', i)
    const peers = line.serve(15).map(({ peer }) => peer)
    expect(peers.filter((peer) => peer === 'ann').length).toBe(5)
    expect(peers.filter((peer) => peer === 'bob').length).toBe(5)
  })

  test('go round the blobs of a child: a huge one does not keep small ones waiting', () => {
    const line = new Line(many)
    for (let i = 0; i < 200; i++) line.askFor('huge', 'ann', [i % 8])
    line.serve(20)
    for (let i = 0; i < 20; i++) line.askFor(`small ${i}`, 'ann', [0])
    expect(
      line
        .serve(21)
        .map(({ digest }) => digest)
        .filter((digest) => digest !== 'huge').length,
    ).toBe(20)
  })

  test('come first to what somebody waits for, and the background keeps a sixteenth', () => {
    const line = new Line(many)
    for (let i = 0; i < 200; i++) line.askFor(blob, 'preheats', [i % 8], true)
    line.serve(1)
    for (let i = 0; i < 200; i++) line.ask('pulls', i % 8)
    const peers = line.serve(160).map(({ peer }) => peer)
    expect(peers[0]).toBe('pulls')
    expect(peers.filter((peer) => peer === 'preheats').length).toBe(10)
  })

  test('are not lost to children that want what nobody was sent yet of other blobs', () => {
    const line = new Line(many)
    line.send(0, 1, 2, 3, 4, 5, 6, 7)
    for (let i = 0; i < 200; i++) line.askFor(`new ${i}`, 'bob', [0])
    for (let i = 0; i < 20; i++) line.ask('ann', i % 8)
    for (let i = 0; i < 20; i++) line.askFor(blob, 'preheats', [i % 8], true)
    const peers = line.serve(32).map(({ peer }) => peer)
    expect(peers.filter((peer) => peer === 'ann').length).toBeGreaterThanOrEqual(14)
    expect(peers.filter((peer) => peer === 'preheats').length).toBe(2)
  })

  test('cannot be taken from other children by saying of everything that somebody waits for it', () => {
    const line = new Line(many)
    for (let i = 0; i < 200; i++) line.askFor(`blob ${i % 10}`, 'liar', [i % 8])
    for (let i = 0; i < 100; i++) line.ask('ann', i % 8)
    for (let i = 0; i < 100; i++) line.askFor(blob, 'preheats', [i % 8], true)
    const peers = line.serve(160).map(({ peer }) => peer)
    for (const [peer, least] of [
      ['liar', 70],
      ['ann', 70],
      ['preheats', 9],
    ] as const) {
      expect(peers.filter((name) => name === peer).length).toBeGreaterThanOrEqual(least)
    }
  })
})

describe('slots', () => {
  test('no more pieces are under way than there are slots, and a delivered one makes room', () => {
    const line = new Line({ leastSlots: 2 })
    for (let i = 0; i < 4; i++) line.ask('ann', i)
    const [first] = line.granted()
    expect(line.queue.sending).toBe(2)
    expect(line.grants()).toEqual([])
    line.queue.delivered(first!.ask.id, line.now)
    expect(line.queue.sending).toBe(1)
    expect(line.grants().length).toBe(1)
  })

  /** Keeps the line busy over a link that delivers a piece every `every` ms, each `delay` ms after its grant. */
  function slotsAfter(every: number, delay: number, pieces = 400): number {
    const line = new Line({ mostWaiting: 1000 })
    const under: { id: number; at: number }[] = []
    let free = 0
    for (let i = 0; i < pieces; i++) {
      for (let k = 0; k < 40; k++) line.ask('ann', k % layout.count)
      for (const { ask } of line.granted()) {
        free = Math.max(free, line.now) + every
        under.push({ id: ask.id, at: Math.max(free, line.now + delay) })
      }
      const next = under.shift()!
      line.now = next.at
      line.queue.delivered(next.id, line.now)
      line.queue.expire(line.now)
    }
    return line.queue.slots(line.now)
  }

  test('stay few on a link that delivers at once', () => {
    expect(slotsAfter(20, 20)).toBe(4)
  })

  test('stay few however long the link is kept full: a piece that waits for others on it does not make it longer', () => {
    expect(slotsAfter(20, 20, 5000)).toBeLessThanOrEqual(2 * tuning.leastSlots)
  })

  test('grow with what a long link holds: its delay times its rate', () => {
    const near = slotsAfter(10, 60)
    const far = slotsAfter(10, 120)
    expect(near).toBeGreaterThan(5)
    expect(far).toBeGreaterThan(near)
    expect(slotsAfter(1, 500)).toBe(tuning.mostSlots)
  })

  /** With `children` that wait for pieces of a blob, and some for the same in the background. */
  function slotsFor(children: number, pieces: number, background = 0): number {
    const long = layoutOf(pieces * 512 * 1024)
    const tuned = { ...tuning, crowdSlots: 8, mostWaiting: 100 }
    const queue = new UploadQueue(tuned, (name) =>
      name === blob ? { layout: long, have: Bitmap.full(long.count), feeding: false } : undefined,
    )
    for (let id = 0; id < children + background; id++) {
      queue.ask({ id, peer: `${id}`, digest: blob, wanted: { pieces: [0] }, background: id >= children, at: 0 })
    }
    return queue.slots(0)
  }

  test('grow with the children that wait, one for two of them, up to what a crowd gets', () => {
    expect([2, 8, 10, 12, 16, 60].map((children) => slotsFor(children, 1024))).toEqual([4, 4, 5, 6, 8, 8])
    expect(slotsFor(4, 1024, 40)).toBe(4)
  })

  test('stay few for a blob of few pieces, which wait for each other to be passed on', () => {
    expect([200, 400, 1024].map((pieces) => slotsFor(60, pieces))).toEqual([4, 6, 8])
  })

  test('count what broke off as free, and its piece as not sent', () => {
    const line = new Line({ leastSlots: 1 })
    line.askAny('ann')
    const [grant] = line.granted()
    line.queue.broken(grant!)
    line.queue.broken(grant!)
    expect(line.queue.sending).toBe(0)
    line.askAny('bob')
    expect(line.grants()).toEqual([`bob ${grant!.piece}`])
  })
})

describe('while the blob is still arriving from its source', () => {
  test('half of the slots stay free for pieces that nobody was sent yet', () => {
    const line = new Line()
    line.feeding = true
    for (const piece of [2, 3, 4, 5, 6, 7]) line.have.clear(piece)
    line.send(0, 1)
    for (const peer of ['ann', 'bob', 'cat']) line.askAny(peer)
    expect(line.grants()).toEqual(['ann 0', 'bob 1'])
    line.have.set(2)
    expect(line.grants()).toEqual(['cat 2'])
  })

  test('a child that names its piece gets it all the same', () => {
    const line = new Line()
    line.feeding = true
    line.send(0)
    for (let i = 0; i < 4; i++) line.ask('ann', 0)
    expect(line.grants().length).toBe(4)
  })
})

test('what was sent of a blob that left does not count when it comes back', () => {
  const line = new Line()
  line.send(0, 1, 2)
  line.queue.forget(blob)
  line.askAny('ann')
  expect(line.grants()).toEqual(['ann 0'])
})

describe('a child on a link much slower than the others', () => {
  /** Three children that take 10 ms for a piece, and one that takes a second. */
  function withSlow(init: Partial<UploadTuning> = {}): Line {
    const line = new Line(init)
    for (const peer of ['slow', 'ann', 'bob', 'cat']) {
      const id = line.ask(peer, 7)
      line.granted()
      line.now += peer === 'slow' ? 1000 : 10
      line.queue.delivered(id, line.now)
    }
    line.queue.forget(blob)
    return line
  }

  test('keeps no slot from others', () => {
    const line = withSlow({ leastSlots: 2 })
    line.ask('slow', 0)
    expect(line.grants()).toEqual(['slow 0'])
    line.ask('ann', 1)
    line.ask('bob', 2)
    line.ask('cat', 3)
    expect(line.grants()).toEqual(['ann 1', 'bob 2'])
  })

  test('waits while others keep the link full, and not for ever', () => {
    const line = withSlow()
    for (const peer of ['ann', 'bob']) line.ask(peer, 1)
    expect(line.grants()).toEqual(['ann 1', 'bob 1'])
    line.ask('slow', 0)
    expect(line.grants()).toEqual([])
    line.now += 1900
    expect(line.grants()).toEqual([])
    line.now += 200
    expect(line.grants()).toEqual(['slow 0'])
  })

  test('is served when the link is free', () => {
    const line = withSlow()
    line.ask('slow', 0)
    expect(line.grants()).toEqual(['slow 0'])
  })

  test('is not first to get what nobody was sent yet, and what it gets counts as sent to nobody', () => {
    const line = withSlow({ leastSlots: 2 })
    line.ask('slow', 0)
    line.ask('ann', 1)
    expect(line.grants()).toEqual(['ann 1'])
    const other = withSlow()
    other.ask('slow', 0)
    expect(other.grants()).toEqual(['slow 0'])
    other.ask('ann', 0, 1)
    expect(other.grants()).toEqual(['ann 0'])
  })

  test('is not slow where all others are as slow', () => {
    const line = new Line({ leastSlots: 2 })
    for (const peer of ['ann', 'bob', 'cat', 'dan']) {
      const id = line.ask(peer, 7)
      line.granted()
      line.now += 1000
      line.queue.delivered(id, line.now)
    }
    for (const peer of ['ann', 'bob', 'cat']) line.ask(peer, 0)
    expect(line.grants().length).toBe(2)
  })
})

describe('a child that asks for just anything several times', () => {
  test('is not sent the same piece twice while it waits, and others are', () => {
    const line = new Line()
    line.have.bytes.fill(0b111)
    for (let i = 0; i < 4; i++) line.askAny('ann', [3, 4, 5, 6, 7])
    expect(line.grants()).toEqual(['ann 0', 'ann 1', 'ann 2'])
    line.askAny('bob', [3, 4, 5, 6, 7])
    expect(line.grants()).toEqual(['bob 0'])
  })

  test('is sent it again when the sending broke off, or long after', () => {
    const line = new Line({ leastSlots: 8 })
    line.have.bytes.fill(0b1)
    const all = [1, 2, 3, 4, 5, 6, 7]
    for (let i = 0; i < 3; i++) line.askAny('ann', all)
    const [first] = line.granted()
    expect(first!.piece).toBe(0)
    line.queue.broken(first!)
    expect(line.grants()).toEqual(['ann 0'])
    line.now += 6000
    expect(line.grants()).toEqual(['ann 0'])
  })
})

test('who gets nothing new of the blob whose turn it is gets it of another that it wants', () => {
  const line = new Line({ leastSlots: 3, mostWaiting: 16 })
  const blobs = ['one', 'two', 'three']
  for (const peer of ['ann', 'bob', 'cat']) for (const digest of blobs) line.askFor(digest, peer, [0])
  const granted = line.granted().map(({ ask }) => `${ask.peer} ${ask.digest}`)
  expect(granted).toEqual(['ann one', 'bob two', 'cat three'])
})

describe('children that wait for the same piece, and may get it from each other', () => {
  test('are told to ask the one before them, and the piece is sent once', () => {
    const line = new Line()
    line.step('ann', 3)
    line.step('bob', 3)
    expect(line.grants()).toEqual(['ann 3'])
    expect(line.referrals()).toEqual(['bob 3 from ann'])
    line.step('cat', 5, 3)
    expect(line.grants()).toEqual(['cat 5'])
    line.step('dan', 3)
    expect([line.grants(), line.referrals()]).toEqual([[], ['dan 3 from bob']])
    expect([line.queue.waiting, line.queue.sending]).toEqual([0, 2])
  })

  test('are told so of any piece that they want, too', () => {
    const line = new Line()
    line.step('ann', 3)
    line.grants()
    const unwanted = Bitmap.full(layout.count)
    for (const piece of [3, 4]) unwanted.clear(piece)
    const ask = { peer: 'bob', digest: blob, follow: true, at: 0 }
    line.queue.ask({ ...ask, id: 100, wanted: { unwanted, from: 0 } })
    expect([line.grants(), line.referrals()]).toEqual([['bob 4'], []])
    line.queue.ask({ ...ask, id: 101, peer: 'cat', wanted: { unwanted, from: 0 } })
    expect([line.grants(), line.referrals()]).toEqual([[], ['cat 3 from ann']])
  })

  test('are sent it where they do not say so, or have asked before, or who got it is gone', () => {
    const line = new Line()
    const first = line.step('ann', 3)
    expect(line.grants()).toEqual(['ann 3'])
    line.ask('bob', 3)
    expect([line.grants(), line.referrals()]).toEqual([['bob 3'], []])
    line.queue.delivered(first, 5)
    line.step('ann', 3)
    expect([line.grants(), line.referrals()]).toEqual([['ann 3'], []])
    line.queue.left('ann', blob)
    line.step('cat', 3)
    expect([line.grants(), line.referrals()]).toEqual([['cat 3'], []])
  })

  test('are sent few pieces at once, so that each comes sooner', () => {
    const line = new Line()
    const [first] = [0, 1, 2, 3].map((piece) => line.step(`child ${piece}`, piece))
    expect(line.grants()).toEqual(['child 0 0', 'child 1 1'])
    line.ask('bob', 7)
    expect(line.grants()).toEqual(['bob 7'])
    line.queue.delivered(first!, 5)
    // Nobody was sent it yet, and that was so all the time.
    expect(line.grants()).toEqual(['child 2 2'])
  })

  test('get what is on its way here while it comes, one from the other', () => {
    const line = new Line()
    const ann = { peer: 'ann', digest: blob }
    const passing = [5, 6].map((piece) => line.queue.passOn(ann, piece, 0))
    const early = line.step('dan', 1)
    // Nothing of them is sent yet.
    expect(line.grants()).toEqual(['dan 1'])
    line.queue.delivered(early, 1)
    for (const each of passing) each.begin()
    line.step('bob', 5)
    line.step('cat', 7)
    expect([line.grants(), line.referrals()]).toEqual([[], ['bob 5 from ann']])
    for (const each of passing) each.end(true)
    expect(line.grants()).toEqual(['cat 7'])
    // What did not get there is sent from here.
    line.queue.passOn(ann, 4, 0).end(false)
    line.step('eve', 4)
    expect([line.grants(), line.referrals()]).toEqual([['eve 4'], []])
  })

  test('are sent it by whom they asked first where they come back, and so are those behind', () => {
    const line = new Line()
    line.step('ann', 3)
    line.grants()
    line.step('bob', 3)
    expect(line.referrals()).toEqual(['bob 3 from ann'])
    line.ask('bob', 3)
    line.step('cat', 3)
    expect([line.grants(), line.referrals()]).toEqual([['bob 3', 'cat 3'], []])
  })

  test('are told so of others at their site alone', () => {
    const line = new Line()
    const ask = { digest: blob, wanted: { pieces: [3] }, follow: true, at: 0 }
    line.queue.ask({ ...ask, id: 101, peer: 'ann', site: 'eu/one' })
    line.queue.ask({ ...ask, id: 102, peer: 'bob', site: 'eu/two' })
    line.queue.ask({ ...ask, id: 103, peer: 'cat', site: 'eu/two' })
    expect([line.grants(), line.referrals()]).toEqual([['ann 3', 'bob 3'], ['cat 3 from bob']])
    line.queue.left('bob', blob)
    line.queue.forget(blob)
    line.queue.ask({ ...ask, id: 104, peer: 'dan', site: 'eu/one' })
    expect([line.grants(), line.referrals()]).toEqual([[], []])
    line.queue.delivered(101, 1)
    expect(line.grants()).toEqual(['dan 3'])
  })
})
