import { expect, test } from 'bun:test'
import { join } from 'node:path'
import { sampleLayer, text } from '../../../test/fakes/lazy-node.ts'
import { unpackedHosts } from '../../../test/fakes/unpacked.ts'
import { OpenFiles } from '../../store/open-files.ts'
import { GapFile } from './gap-file.ts'
import { Holdings } from './holdings.ts'
import { shapeOf } from './layer-shape.ts'
import { WholeCheck } from './whole-check.ts'

const { newDir } = unpackedHosts()

test('a check that is stopped ends at its next step, and the next one finds what it looked for', async () => {
  const { index, unpacked } = sampleLayer([text(1, 3_500_000)])
  const shape = shapeOf(index, index.layer, undefined)
  const holdings = new Holdings(shape.table, undefined)
  for (let chunk = 0; chunk < shape.table.count; chunk++) holdings.keep(chunk)
  const gaps = new GapFile(join(newDir(), 'gaps'), shape.table.gapBytes, new OpenFiles(4), [])
  const writer = gaps.writer()
  const headers = shape.table.start(0)
  writer.add(0, unpacked.subarray(0, headers))
  writer.add(headers, unpacked.subarray(shape.table.end(shape.table.count - 1)))
  await writer.end()
  const check = new WholeCheck(shape, holdings, gaps, undefined)
  const asked: number[] = []
  const stop = new AbortController()
  const read = async (at: number, length: number) => {
    asked.push(at)
    stop.abort(new Error('it is let go'))
    return unpacked.slice(at, at + length)
  }
  expect(check.check(read, stop.signal)).rejects.toThrow('it is let go')
  await check.check(read, stop.signal).catch(() => {})
  expect(asked).toEqual([0])
  expect(check.right).toBe(false)
  expect(await check.check(read, new AbortController().signal)).toBeUndefined()
  expect(check.right).toBe(true)
})
