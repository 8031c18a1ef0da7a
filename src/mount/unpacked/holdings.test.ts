import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { ChunkTable } from './chunk-table.ts'
import { blockBytes, Holdings } from './holdings.ts'

/** Chunks of the given lengths, so far apart. */
function tableOf(chunks: readonly (readonly [gap: number, length: number])[], tail = 1024): ChunkTable {
  let at = 0
  const starts = chunks.map(([gap, length]) => {
    at += gap + length
    return at - length
  })
  const lengths = Uint32Array.from(chunks, ([, length]) => length)
  return new ChunkTable(
    { count: chunks.length, starts: Float64Array.from(starts), lengths, digests: new Uint8Array(chunks.length * 32) },
    at + tail,
  )
}

function ready(holdings: Holdings, block: number): boolean {
  return (new Uint8Array(holdings.shared)[block >> 3]! & (1 << (block & 7))) !== 0
}

const layer = fc.array(fc.tuple(fc.integer({ min: 0, max: 9000 }), fc.integer({ min: 1, max: 20_000 })), {
  minLength: 1,
  maxLength: 12,
})
const steps = fc.array(fc.tuple(fc.constantFrom('keep', 'lend', 'lose', 'verify', 'doubt'), fc.nat(11)), {
  maxLength: 40,
})

describe('Holdings', () => {
  test('calls a block ready exactly while all chunks in it are in the file and verified', () => {
    fc.assert(
      fc.property(layer, steps, (chunks, todo) => {
        const table = tableOf(chunks)
        const holdings = new Holdings(table, undefined)
        for (const [what, which] of todo) {
          const chunk = which % table.count
          if (what === 'doubt') holdings.doubt()
          else if (what === 'verify') holdings.own.has(chunk) && holdings.verify(chunk)
          else holdings[what as 'keep' | 'lend' | 'lose'](chunk)
        }
        for (let block = 0; block * blockBytes < table.size; block++) {
          const [first, last] = table.within(block * blockBytes, (block + 1) * blockBytes)
          expect(ready(holdings, block)).toBe(holdings.verifiedWithin(first, last))
        }
      }),
    )
  })

  test('calls no block ready any more once its index was refuted', () => {
    fc.assert(
      fc.property(layer, steps, steps, (chunks, before, after) => {
        const table = tableOf(chunks)
        const holdings = new Holdings(table, undefined)
        const go = (todo: typeof before) => {
          for (const [what, which] of todo) {
            if (what === 'doubt') holdings.doubt()
            else holdings[what](which % table.count)
          }
        }
        go(before)
        holdings.refute()
        go(after)
        expect(new Uint8Array(holdings.shared).every((bits) => bits === 0)).toBe(true)
      }),
    )
  })

  test('counts every byte once, whatever comes and goes', () => {
    fc.assert(
      fc.property(layer, steps, (chunks, todo) => {
        const table = tableOf(chunks)
        const holdings = new Holdings(table, undefined)
        for (const [what, which] of todo) {
          const chunk = which % table.count
          if (what === 'keep' || what === 'lend' || what === 'lose') holdings[what](chunk)
        }
        const all = [...Array(table.count).keys()]
        const sum = (of: number[], bytes: (chunk: number) => number) => of.reduce((sum, chunk) => sum + bytes(chunk), 0)
        const here = all.filter((chunk) => holdings.has(chunk))
        expect(holdings.here).toBe(sum(here, (chunk) => table.weight(chunk)))
        expect(holdings.lentBytes).toBe(sum([...holdings.lent.indexes()], (chunk) => table.length(chunk)))
        expect(holdings.complete).toBe(here.length === table.count)
        if (holdings.complete) expect(holdings.here).toBe(table.size)
        expect(holdings.nextMissing(0)).toBe(all.find((chunk) => !holdings.has(chunk)) ?? table.count)
      }),
    )
  })

  test('calls a block with a veiled chunk ready when that was read, or when all is here', () => {
    const holdings = new Holdings(
      tableOf([
        [512, 5000],
        [512, 5000],
        [512, 5000],
      ]),
      undefined,
    )
    for (const chunk of [0, 1]) holdings.keep(chunk)
    holdings.veil(1)
    expect([ready(holdings, 0), ready(holdings, 2)]).toEqual([true, false])
    holdings.unveil(1)
    expect(ready(holdings, 1)).toBe(true)
    holdings.veil(0)
    holdings.keep(2)
    expect(ready(holdings, 0)).toBe(true)
  })

  test('has no chunk twice', () => {
    const holdings = new Holdings(tableOf([[512, 5000]]), { own: Uint8Array.of(1), lent: Uint8Array.of(1) })
    expect([...holdings.lent.indexes()]).toEqual([])
    expect(holdings.here).toBe(512 + 5000 + 1024)
  })

  test('of a layer without files is complete', () => {
    const holdings = new Holdings(tableOf([], 2048), undefined)
    expect([holdings.complete, holdings.here, ready(holdings, 0)]).toEqual([true, 2048, true])
  })
})
