import { describe, expect, test } from 'bun:test'
import { FakeNodeView, other, self } from '../../../test/fakes/node-view.ts'
import { type Facts, flowsOf, missingOf, nodesOf, pullingOf } from './facts.ts'
import { source } from './picture.ts'

const third = '12D3KooWThird'

async function facts(): Promise<Facts> {
  const view = new FakeNodeView()
  return { node: view.node(), members: view.members(), transfers: view.transfers(), cluster: await view.cluster() }
}

describe('who sends to whom', () => {
  test('is what this node receives and sends, and what the others say they receive', async () => {
    expect(flowsOf(await facts())).toEqual([
      { from: other, to: self, rate: 11_000_000 },
      { from: self, to: other, rate: 900_000 },
    ])
  })

  test('adds up over blobs, and takes the larger of what both ends tell', async () => {
    const known = await facts()
    const [download] = known.transfers!.downloads
    const uploads = [1, 2].map((i) => ({
      digest: download!.digest,
      to: other,
      bytes: 1,
      rate: i * 500_000,
      startedAt: '',
    }))
    const transfers = { downloads: [download!, download!], uploads }
    expect(flowsOf({ ...known, transfers })).toEqual([
      { from: other, to: self, rate: 22_000_000 },
      { from: self, to: other, rate: 1_500_000 },
    ])
  })

  test('is nothing where a rate only dies away, or the node has not answered yet', async () => {
    const known = await facts()
    const nodes = [{ ...known.cluster!.nodes[1]!, flows: [{ from: source, rate: 800 }] }]
    expect(flowsOf({ node: known.node!, cluster: { nodes, silent: 0, unasked: 0 } })).toEqual([])
    expect(flowsOf({ transfers: known.transfers! })).toEqual([])
  })
})

describe('nodes', () => {
  test('are members with how far they are: this one by its own downloads, others as they say', async () => {
    expect(nodesOf(await facts())).toEqual([
      { id: other, url: 'http://10.0.0.8:4881', self: false, progress: 0.25 },
      { id: self, url: 'http://10.0.0.7:4881', zone: 'eu/a', self: true, progress: 0.25 },
    ])
  })

  test('that only send to this one are there too, for a peer knows no other peers', async () => {
    const known = await facts()
    const [download] = known.transfers!.downloads
    const parents = [{ id: third, url: 'http://10.0.0.9:4881', bytes: 0, inFlight: 1, rate: 5000 }]
    const transfers = { downloads: [{ ...download!, parents }], uploads: [] }
    expect(nodesOf({ ...known, transfers }).map(({ id }) => id)).toEqual([third, self, other])
  })

  test('that fetch are listed by address, without this one', async () => {
    expect(pullingOf(await facts())).toEqual([
      { id: other, url: 'http://10.0.0.8:4881', size: 2000, have: 500, rate: 900_000 },
    ])
  })

  test('that are not in the picture are told of', () => {
    expect(missingOf({ nodes: [], silent: 0, unasked: 0 })).toBeUndefined()
    expect(missingOf({ nodes: [], silent: 1, unasked: 9 })).toBe(
      '1 member did not say what moves there; 9 members more were not asked.',
    )
  })
})
