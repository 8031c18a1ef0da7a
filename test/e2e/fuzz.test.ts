/** Requests that are nearly right, by the thousand. `scripts/soak fuzz` sends a hundred thousand. */
import { afterAll, expect, test } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { FuzzedNode } from '../fuzz/node.ts'
import { scratchRoot } from '../lab/lab.ts'

const dir = mkdtempSync(join(scratchRoot, 'shoal-fuzz-'))
let node: FuzzedNode | undefined
afterAll(async () => {
  await node?.close()
  rmSync(dir, { recursive: true, force: true })
})

test('a node answers, refuses or outlasts three thousand mutated requests, serves all the while, and keeps no connection', async () => {
  node = await FuzzedNode.start(dir, '127.0.77.11')
  await node.serves()
  const { files } = node.vitals()
  const outcomes = await node.requests(3000, 5, 32, 500)
  expect(outcomes.answered + outcomes.closed + outcomes.waited).toBe(3000)
  expect(outcomes.answered).toBeGreaterThan(1000)
  await node.serves()
  await node.settled(files + 16, 60)
  expect(node.unexpected()).toEqual([])
}, 120_000)
