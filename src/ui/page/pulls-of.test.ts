import { expect, test } from 'bun:test'
import type { DownloadFacts } from '../../admin/view.ts'
import { digestOf } from '../../oci/digest.ts'
import { pullsOf } from './pulls-of.ts'

const layer = (name: string, more: Partial<DownloadFacts> = {}): DownloadFacts => ({
  digest: digestOf(new TextEncoder().encode(name)),
  repository: 'docker.io/library/debian',
  size: 1000,
  bytes: 300,
  pieces: { have: 5, total: 10 },
  rate: 50,
  startedAt: '2026-01-01T12:00:00.000Z',
  readers: 1,
  parents: [
    { id: 'source', bytes: 100, inFlight: 1, rate: 10 },
    { id: 'a', bytes: 200, inFlight: 1, rate: 40 },
  ],
  ...more,
})

test('layers of one image are one pull, with what is left of it and where it comes from', () => {
  const parents = [
    { id: 'a', bytes: 1, inFlight: 0, rate: 0 },
    { id: 'b', bytes: 1, inFlight: 0, rate: 0 },
  ]
  const [pull, ...rest] = pullsOf([layer('x'), layer('y', { size: 3000, rate: 150, parents })])
  expect(rest).toEqual([])
  expect(pull).toMatchObject({
    name: 'docker.io/library/debian',
    size: 4000,
    done: 2000,
    rate: 200,
    left: 10,
    fromSource: 100,
    parents: 2,
  })
  expect(pull!.downloads.map(({ size }) => size)).toEqual([3000, 1000])
})

test('the largest pull comes first, and what has no name is called by its digest', () => {
  const { repository: _, ...nameless } = layer('y')
  expect(pullsOf([nameless, layer('x', { size: 9000 })]).map(({ name }) => name)).toEqual([
    'docker.io/library/debian',
    nameless.digest,
  ])
})

test('of what nothing is known yet, or nothing comes, no end is foretold', () => {
  const { size: _, ...young } = layer('x', { bytes: 0, pieces: { have: 0, total: 0 }, rate: 0 })
  expect(pullsOf([young])[0]).toMatchObject({ size: 0, done: 0 })
  for (const download of [young, layer('y', { rate: 0 })]) expect(pullsOf([download])[0]!.left).toBeUndefined()
})
