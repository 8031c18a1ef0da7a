import { describe, expect, test } from 'bun:test'
import type { NodeCard } from '../cluster/node-info.ts'
import { Failure } from '../failure.ts'
import { Bitmap } from '../piece/bitmap.ts'
import { Elsewhere, type PieceAnswer, type WantedPieces } from '../wire/wire.ts'
import { type Following, follow, mostHops } from './following.ts'

const cardOf = (id: string): NodeCard => ({ id, url: `http://${id}.test` })
const self = cardOf('self')
const broken = new Failure('unavailable', 'it broke off')

class Nodes {
  /** What each answers, in turn. */
  readonly answers = new Map<string, (Error | number)[]>()
  readonly asked: { id: string; wanted: WantedPieces }[] = []
  readonly bound: number[] = []
  readonly banned = new Set<string>()
  readonly abort = new AbortController()

  answer(id: string, ...answers: (Error | number)[]): this {
    this.answers.set(id, answers)
    return this
  }
  async follow(wanted: WantedPieces = { pieces: [3], follow: self, bytes: 10 }): Promise<string> {
    const following: Following = {
      ...{ parent: cardOf('parent'), wanted, count: 8, signal: this.abort.signal },
      ask: async ({ id }, what): Promise<PieceAnswer> => {
        this.asked.push({ id, wanted: what })
        const answer = this.answers.get(id)?.shift() ?? broken
        if (typeof answer !== 'number') throw answer
        return { piece: answer, bytes: new Uint8Array(1) }
      },
      may: ({ id }) => !this.banned.has(id),
      bound: (piece) => void this.bound.push(piece),
    }
    try {
      const { from, answer } = await follow(following)
      return `${answer.piece} from ${from.id}`
    } catch (error) {
      return Failure.from(error).code
    }
  }
  get said(): string[] {
    return this.asked.map(({ id, wanted: { follow, coming, ...wanted } }) => {
      const what = 'pieces' in wanted ? wanted.pieces.join() : 'any'
      return `${id} ${what}${follow ? ' follow' : ''}${coming ? ' coming' : ''}`
    })
  }
}

test('a parent that has it is asked, and nobody else', async () => {
  const nodes = new Nodes().answer('parent', 3)
  expect([await nodes.follow(), nodes.said, nodes.bound]).toEqual(['3 from parent', ['parent 3 follow'], []])
})

test('whom it names is asked, and whom that one names, for what is on its way there', async () => {
  const nodes = new Nodes()
    .answer('parent', new Elsewhere(3, cardOf('ann')))
    .answer('ann', new Elsewhere(3, cardOf('bob')))
  nodes.answer('bob', 3)
  expect(await nodes.follow({ unwanted: new Bitmap(8).bytes, from: 0, follow: self, bytes: 10 })).toBe('3 from bob')
  expect(nodes.said).toEqual(['parent any follow', 'ann 3 follow coming', 'bob 3 follow coming'])
  expect(nodes.bound).toEqual([3, 3])
  expect(nodes.asked.map(({ wanted }) => wanted.bytes)).toEqual([10, 10, 10])
})

test('where nothing comes of it the parent is asked for the piece, and names nobody then', async () => {
  const nodes = new Nodes().answer('parent', new Elsewhere(3, cardOf('ann')), 3)
  expect(await nodes.follow()).toBe('3 from parent')
  expect(nodes.said).toEqual(['parent 3 follow', 'ann 3 follow coming', 'parent 3'])
  // What ann sent of it is not mixed with what comes now.
  expect(nodes.bound).toEqual([3, 3])
})

describe('it ends, and the parent is asked once more at most,', () => {
  test('where nodes name each other', async () => {
    const nodes = new Nodes().answer('parent', new Elsewhere(3, cardOf('ann')), 3)
    const ring = () => Array.from({ length: 100 }, () => new Elsewhere(3, cardOf('ann')))
    nodes.answer('ann', ...ring())
    expect(await nodes.follow()).toBe('3 from parent')
    expect(nodes.said.length).toBe(2 + mostHops)
    expect(nodes.said.at(-2)).toBe('ann 3 coming')
  })

  test('where nothing is taken from the one that is named, or that is the parent', async () => {
    const nodes = new Nodes().answer('parent', new Elsewhere(3, cardOf('ann')), 3)
    nodes.banned.add('ann')
    expect([await nodes.follow(), nodes.said]).toEqual(['3 from parent', ['parent 3 follow', 'parent 3']])
    const itself = new Nodes().answer('parent', new Elsewhere(3, cardOf('parent')), 3)
    expect([await itself.follow(), itself.said]).toEqual(['3 from parent', ['parent 3 follow', 'parent 3']])
  })

  test('where the parent has nothing then', async () => {
    const nodes = new Nodes().answer('parent', new Elsewhere(3, cardOf('ann')), new Failure('no-blob', 'it is gone'))
    expect(await nodes.follow()).toBe('no-blob')
    expect(nodes.said.length).toBe(3)
  })

  test('where a parent names others that was not asked for that', async () => {
    const nodes = new Nodes().answer('parent', new Elsewhere(3, cardOf('ann')))
    expect([await nodes.follow({ pieces: [3] }), nodes.said]).toEqual(['too-many', ['parent 3']])
  })

  test('where it names a piece that is not wanted', async () => {
    const unwanted = new Bitmap(8)
    unwanted.set(4)
    for (const wanted of [{ pieces: [3] }, { unwanted: unwanted.bytes, from: 0 }]) {
      for (const piece of [4, 8, 1000]) {
        const nodes = new Nodes().answer('parent', new Elsewhere(piece, cardOf('ann')))
        expect([await nodes.follow({ ...wanted, follow: self }), nodes.said.length]).toEqual(['too-many', 1])
      }
    }
  })

  test('where another piece is named on the way', async () => {
    const nodes = new Nodes()
      .answer('parent', new Elsewhere(3, cardOf('ann')), 3)
      .answer('ann', new Elsewhere(4, cardOf('bob')))
    expect(await nodes.follow({ unwanted: new Bitmap(8).bytes, from: 0, follow: self })).toBe('3 from parent')
    expect(nodes.said).toEqual(['parent any follow', 'ann 3 follow coming', 'parent 3'])
  })
})

test('nobody is asked any more when it was given up', async () => {
  const nodes = new Nodes().answer('parent', new Elsewhere(3, cardOf('ann')), 3)
  nodes.abort.abort()
  expect([await nodes.follow(), nodes.said.length]).toEqual(['too-many', 1])
})
