import { describe, expect, test } from 'bun:test'
import { Link } from './link.ts'

const KiB = 1024
const piece = 256 * KiB

describe('what nobody waits for yet', () => {
  const room = (link: Link, now = 0) => {
    let most = 0
    for (link.ahead = 0; link.hasRoomAhead(piece, 100, now); link.ahead++) most++
    return most
  }

  test('is asked for in few pieces at once, and in fewer while somebody waits for something', () => {
    const link = new Link(0)
    expect(room(link)).toBe(4)
    link.awaited = 1
    expect(room(link)).toBe(2)
  })

  test('is asked for in as many as come in a tenth of a second', () => {
    const link = new Link(0)
    for (let i = 0; i < 80; i++) link.arrived(piece, 0)
    expect(room(link)).toBe(8)
    expect(room(link, 5000)).toBe(4)
  })
})

test('what is on its way takes as long as the link needs for it; nobody knows while nothing has come', () => {
  const link = new Link(0)
  link.begins(10 * piece)
  expect(link.expectedMs(0)).toBe(0)
  link.arrived(piece, 0)
  expect(link.expectedMs(0)).toBeCloseTo(10_000)
  link.ends(5 * piece)
  expect(link.expectedMs(0)).toBeCloseTo(5000)
})
