import { expect, test } from 'bun:test'
import { Shares } from './shares.ts'

const id = '0123456789abcdef'
const from = (store: number, swarm: number, source: number) => ({ store, swarm, source })

test('what is being sent counts as what was sent, and is not counted twice', () => {
  const shares = new Shares()
  let sent = from(0, 0, 0)
  const ended = shares.sending(id, () => sent)
  shares.sending(id, () => from(1, 2, 3))
  sent = from(10, 20, 30)
  expect(shares.of(id)).toEqual(from(11, 22, 33))
  ended()
  ended()
  expect(shares.of(id)).toEqual(from(11, 22, 33))
})

test('of other downloads, and of those without a proper name, nothing is told', () => {
  const shares = new Shares()
  shares.sending(id, () => from(1, 1, 1))
  shares.sending('short', () => from(1, 1, 1))
  shares.sending(undefined, () => from(1, 1, 1))
  for (const other of ['fedcba9876543210', 'short', '']) expect(shares.of(other)).toEqual(from(0, 0, 0))
})

test('who makes up names takes no memory without end', () => {
  const shares = new Shares()
  for (let i = 0; i < 5000; i++) shares.sending(`download-${String(i).padStart(16, '0')}`, () => from(1, 0, 0))()
  const known = Array.from({ length: 5000 }, (_, i) => shares.of(`download-${String(i).padStart(16, '0')}`).store)
  expect(known.reduce((a, b) => a + b)).toBe(1024)
})
