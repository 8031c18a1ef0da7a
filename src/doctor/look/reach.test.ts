import { expect, test } from 'bun:test'
import { other, self } from '../../../test/fakes/node-view.ts'
import type { MemberFacts } from '../../admin/view.ts'
import { systemClock } from '../../clock.ts'
import { lookAtMembers } from './reach.ts'

test('members are asked in the name of the node, as nodes ask: they would refuse, and log, what a stranger asks', async () => {
  const named: (string | null)[] = []
  const server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    fetch: ({ headers }) => {
      named.push(headers.get('x-shoal-node'))
      return new Response(null, { status: 404 })
    },
  })
  try {
    const member = (id: string): MemberFacts => {
      const url = `http://127.0.0.1:${server.port}`
      return { id, url, modes: ['peer'], version: '1.0.0', self: id === self, secondsSinceHeard: 0 }
    }
    const seen = await lookAtMembers([member(self), member(other)], systemClock)
    expect([...seen.keys()]).toEqual([other])
    expect(seen.get(other)?.of.failed).toBeUndefined()
    expect(named).toEqual([self])
  } finally {
    await server.stop(true)
  }
})
