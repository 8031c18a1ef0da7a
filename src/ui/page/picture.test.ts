import { describe, expect, test } from 'bun:test'
import { type Flow, pictureOf, type Someone, source } from './picture.ts'

const size = { width: 640, height: 384 }
const nodes = (count: number): Someone[] =>
  Array.from({ length: count }, (_, i) => ({ id: `node${i}`, url: `http://10.0.0.${i + 2}:4881`, self: i === 0 }))
const flow = (from: string, to: string, rate = 1000): Flow => ({ from, to, rate })

describe('the picture of a swarm', () => {
  test('has a place for each node, all of them inside, no two at one spot', () => {
    for (const count of [1, 2, 7, 24, 48]) {
      const { places } = pictureOf(nodes(count), [], size)
      expect(places).toHaveLength(count)
      expect(new Set(places.map(({ x, y }) => `${x} ${y}`)).size).toBe(count)
      for (const { x, y } of places) {
        expect(x).toBeWithin(0, size.width)
        expect(y).toBeWithin(0, size.height)
      }
    }
  })

  test('keeps nodes where they are while they fetch, so that eyes can follow them', () => {
    const before = pictureOf(nodes(8), [], size)
    const after = pictureOf(nodes(8).reverse(), [flow('node1', 'node2')], size)
    expect(after.places.map(({ id, x, y }) => [id, x, y])).toEqual(before.places.map(({ id, x, y }) => [id, x, y]))
  })

  test('has the tenth host after the ninth, and hosts of a zone together', () => {
    const zoned = nodes(10).map((node, i) => ({ ...node, zone: `eu/${i % 2}` }))
    expect(pictureOf(zoned, [], size).places.map(({ label }) => Number(label.split('.').at(-1)))).toEqual([
      2, 4, 6, 8, 10, 3, 5, 7, 9, 11,
    ])
  })

  test('draws a line for each flow, the fastest widest, and one for each direction', () => {
    const { lines } = pictureOf(
      nodes(3),
      [flow('node0', 'node1', 4000), flow('node1', 'node0', 1000), flow(source, 'node2', 9000)],
      size,
    )
    expect(lines.map(({ width }) => width)).toEqual([1 + 4 * Math.sqrt(4 / 9), 1 + 4 / 3, 5])
    expect(new Set(lines.map(({ path }) => path)).size).toBe(3)
    for (const { path } of lines) expect(path).toMatch(/^M[\d.-]+ [\d.-]+Q[\d.-]+ [\d.-]+ [\d.-]+ [\d.-]+$/)
  })

  test('leaves out nodes at rest when there are too many, never this one, and tells how many', () => {
    const many = nodes(500)
    const busy = [flow('node400', 'node450')]
    const { places, left, named, lines } = pictureOf(many, busy, size)
    const shown = places.map(({ id }) => id)
    expect([places.length, left, named, lines.length]).toEqual([48, 452, false, 1])
    for (const id of ['node0', 'node400', 'node450']) expect(shown).toContain(id)
  })

  test('draws nothing to a node that has no place', () => {
    expect(pictureOf(nodes(2), [flow('gone', 'node1'), flow('node0', 'gone')], size).lines).toEqual([])
  })

  test('names nodes beside them where there is room, else above and below, and few on a small screen', () => {
    const anchors = (width: number) =>
      pictureOf(nodes(8), [], { width, height: 300 }).places.map(({ anchor }) => anchor)
    expect(new Set(anchors(640))).toEqual(new Set(['middle', 'start', 'end']))
    expect(new Set(anchors(330))).toEqual(new Set(['middle']))
    expect(pictureOf(nodes(12), [], { width: 330, height: 300 }).named).toBe(false)
  })
})
