/** `scripts/soak fuzz`: the two halves of it, each ends with what it did or throws what it found. */
import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import Table from 'cli-table3'
import prettyBytes from 'pretty-bytes'
import { type Sample, steadinessOf } from '../../test/faults/steadiness.ts'
import { FuzzedNode } from '../../test/fuzz/node.ts'
import { parsers } from '../../test/fuzz/parsers.ts'
import { fuzz } from '../../test/fuzz/run.ts'
import { scratchRoot } from '../../test/lab/lab.ts'

/** What a node may grow by once it is warm, in bytes and open files. */
const mostGrowth = 64 * 1024 * 1024
const mostFiles = 16
const address = '127.0.77.12'

export function fuzzMessages(total: number, seed: number): void {
  const table = new Table({ head: ['reader', 'messages', 'seconds'], style: { head: [], border: [], compact: true } })
  const runs = Math.ceil(total / parsers.length)
  const before = process.memoryUsage.rss()
  const begun = performance.now()
  for (const parser of parsers) {
    const at = performance.now()
    fuzz(parser, runs, seed)
    table.push([parser.name, runs, ((performance.now() - at) / 1000).toFixed(1)])
  }
  Bun.gc(true)
  const grown = process.memoryUsage.rss() - before
  console.log(table.toString())
  console.log(
    `${runs * parsers.length} mutated messages to ${parsers.length} readers in ${secondsSince(begun)}: ` +
      `no crash, no hang; memory of this process ${grown < 0 ? '-' : '+'}${prettyBytes(Math.abs(grown))}`,
  )
}

export async function fuzzRequests(total: number, seed: number): Promise<void> {
  const dir = mkdtempSync(join(scratchRoot, 'shoal-fuzz-'))
  const begun = performance.now()
  const node = await FuzzedNode.start(dir, address)
  try {
    await node.serves()
    const rows = new Table({
      head: ['requests', 'answered', 'closed', 'left half', 'memory', 'files'],
      style: { head: [], border: [], compact: true },
    })
    const idle = node.vitals()
    const parts = 20
    const memory: Sample[] = []
    let done = 0
    for (let part = 0; part < parts; part++) {
      const count = Math.ceil(total / parts)
      const { answered, closed, waited } = await node.requests(count, seed + part * 1_000_003, 64, 300)
      await node.serves()
      done += count
      const now = node.vitals()
      rows.push([done, answered, closed, waited, prettyBytes(now.memory), now.files])
      memory.push({ seconds: (performance.now() - begun) / 1000, value: now.memory })
    }
    await node.settled(idle.files + mostFiles, 120)
    const end = node.vitals()
    console.log(rows.toString())
    const errors = node.unexpected()
    if (errors.length > 0) throw new Error(`the node logged ${errors.length} errors, the first: ${errors[0]}`)
    // Single looks find more or less garbage: what counts is the line through them.
    const { rise } = steadinessOf(memory)
    if (rise > mostGrowth) throw new Error(`the node grew by ${prettyBytes(rise)} after the warm-up`)
    console.log(
      `${done} mutated requests in ${secondsSince(begun)}: no crash, no hang, every check of an honest client answered; ` +
        `open files ${idle.files} before, ${end.files} after; memory ${prettyBytes(idle.memory)} idle, ` +
        `${prettyBytes(end.memory)} at the end, ${prettyBytes(rise)} more by the line through the last two thirds`,
    )
  } finally {
    await node.close()
    rmSync(dir, { recursive: true, force: true })
  }
}

function secondsSince(begun: number): string {
  return `${Math.round((performance.now() - begun) / 1000)} s`
}
