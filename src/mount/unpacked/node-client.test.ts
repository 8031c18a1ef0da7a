import { expect, test } from 'bun:test'
import { FakeClock } from '../../../test/fakes/clock.ts'
import { notRoot } from '../../../test/fakes/root.ts'
import { listenAsNobody } from '../../../test/fakes/stranger.ts'
import { digestOf } from '../../oci/digest.ts'
import { repositoryOf } from '../../oci/reference.ts'
import { NodeClient } from './node-client.ts'

test('what a node says of a blob last is why it does not give it: what comes before is for engines', async () => {
  const errors = ['BLOB_UNKNOWN', 'DENIED'].map((code) => ({ code, message: 'a login is wanted' }))
  const server = Bun.serve({ hostname: '127.0.0.1', port: 0, fetch: () => Response.json({ errors }, { status: 404 }) })
  try {
    const client = new NodeClient({ registry: server.url.origin }, new FakeClock())
    const blob = { repository: repositoryOf('docker.io', 'library/app'), digest: digestOf(Buffer.from('a layer')) }
    const options = { fresh: false, signal: new AbortController().signal }
    const asked = client.range(blob, { from: 0, to: 1, size: 2 }, options).next()
    await expect(asked).rejects.toMatchObject({ code: 'unavailable', detail: { status: 404, code: 'DENIED' } })
  } finally {
    await server.stop(true)
  }
})

test.skipIf(notRoot)('an index is not taken from a user of this host who has the port', async () => {
  const index = Buffer.from('an index')
  const headers = { 'shoal-index-digest': digestOf(index) }
  const stranger = listenAsNobody(() => new Response(index, { headers }))
  try {
    const client = new NodeClient({ registry: `http://127.0.0.1:${stranger.port}` }, new FakeClock())
    const blob = { repository: repositoryOf('docker.io', 'library/app'), digest: digestOf(Buffer.from('a layer')) }
    const asked = client.index(blob, false, new AbortController().signal)
    await expect(asked).rejects.toMatchObject({ code: 'forbidden', retry: false })
    expect(stranger.connections()).toBe(0)
  } finally {
    stranger.close()
  }
})
