import { afterEach, beforeEach, expect, test } from 'bun:test'
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { scratchRoot } from './lab.ts'
import { LabNode } from './node.ts'

const address = '127.0.77.40'
let dir: string
beforeEach(() => {
  dir = mkdtempSync(join(scratchRoot, 'shoal-node-'))
})
afterEach(() => rmSync(dir, { recursive: true }))

/** Stands in for the binary: what a node does until it serves. */
function program(does: string): string {
  const file = join(dir, 'program')
  writeFileSync(file, `#!/bin/sh\necho $$ >'${dir}/pid'\n${does}\n`)
  chmodSync(file, 0o755)
  return file
}

test.each([14880, 14881, 14882, 14883])('does not take who has its port %d for itself', async (port) => {
  const other = Bun.serve({ hostname: address, port, fetch: () => new Response('ready') })
  try {
    const start = () => new LabNode({ address, dir, binary: program('exec sleep 600') })
    expect(start).toThrow(`no node can be started on ${address}:${port}`)
    expect(existsSync(join(dir, 'pid'))).toBe(false)
  } finally {
    await other.stop(true)
  }
})

test('one that is late is ended, and what it logged is said', async () => {
  const node = new LabNode({ address, dir, binary: program('echo so far; exec sleep 600') })
  await expect(node.ready(0.5)).rejects.toThrow(`the node on http://${address}:14880 is not ready after 0.5 s: so far`)
  expect(node.process.running).toBe(false)
  expect(existsSync(`/proc/${readFileSync(join(dir, 'pid'), 'utf8').trim()}/exe`)).toBe(false)
})

test('one that ended says so', async () => {
  const node = new LabNode({ address, dir, binary: program('echo no; exit 3') })
  await expect(node.ready(20)).rejects.toThrow(`the node on http://${address}:14880 ended: no`)
  expect(await node.process.exited).toBe(3)
})
