import { expect, test } from 'bun:test'
import { bytesOf } from '../../../test/fakes/bytes.ts'
import { FakeClock } from '../../../test/fakes/clock.ts'
import { diskStores, messageOf } from '../../../test/fakes/disk-stores.ts'
import { digestOf } from '../../oci/digest.ts'
import { pieceStart } from '../../piece/layout.ts'
import { Intake } from './intake.ts'

const { openStore } = diskStores()
const bytes = bytesOf(700_000)

test('what came in the last moment before the store closed is not stated, and that is told to who reads on', async () => {
  const store = await openStore()
  const blob = store.create({ digest: digestOf(bytes), size: bytes.length, kind: 'blob' })
  const clock = new FakeClock()
  const stated: number[] = []
  const host = { stored: () => {}, stated: (pieces: readonly number[]) => void stated.push(...pieces) }
  const intake = new Intake({ blob, signer: { id: 'self', sign: () => new Uint8Array(64) }, clock, host })
  await intake.take(0, bytes.subarray(0, pieceStart(blob.layout, 1)), () => {})
  await intake.settle(0)
  await store.close()
  expect(() => clock.advance(1000)).not.toThrow()
  expect(stated).toEqual([])
  expect(await messageOf(intake.settle(0))).toContain('this node is stopping')
})
