import { expect, test } from 'bun:test'
import { FakeClock } from '../../test/fakes/clock.ts'
import { digestOf } from '../oci/digest.ts'
import { parseTag, repositoryOf } from '../oci/reference.ts'
import { silentLog } from '../telemetry/log.ts'
import { startForgetting } from './forgetting.ts'
import { openSqlite } from './sqlite.ts'

const day = 86_400_000
const v1 = parseTag('v1')

test('rows do not grow without end: the old goes by itself, and what is the cluster’s own stays', async () => {
  const clock = new FakeClock()
  const state = await openSqlite(':memory:')
  const [ours, theirs] = [repositoryOf('apps.corp', 'app'), repositoryOf('ghcr.io', 'org/app')]
  const digest = digestOf(Buffer.from('a'))
  const at = clock.wall()
  for (const repository of [ours, theirs]) {
    await state.tags.set(repository, v1, { digest, mediaType: 'm', size: 1, at, by: 'n' })
  }
  const { job } = await state.jobs.add({ kind: 'k', key: 'k', body: 0, at })
  await state.jobs.cancel(job.id, at)
  const lasting = ({ registry }: { registry: string }) => (registry === 'apps.corp' ? 'tags' : 'nothing')
  const stop = startForgetting({ state, tagHistoryMs: 10 * day, lasting, clock, log: silentLog })
  await clock.run(9 * day)
  await turns(() => false)
  expect(await state.tags.get(theirs, v1)).toBeDefined()
  await clock.run(25 * day)
  // The last of what goes.
  await turns(async () => (await state.jobs.find(job.id)) === undefined)
  expect(await state.tags.get(theirs, v1)).toBeUndefined()
  expect(await state.tags.get(ours, v1)).toMatchObject({ digest })
  expect(await state.jobs.find(job.id)).toBeUndefined()
  stop()
  await state.close()
})

/** The database lets the node do other things between two statements. */
async function turns(enough: () => boolean | Promise<boolean>): Promise<void> {
  for (let i = 0; i < 500 && !(await enough()); i++) await new Promise<void>((resolve) => setImmediate(resolve))
}
