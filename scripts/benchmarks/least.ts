/** What the kernel and SHA-256 alone take for what a node does, in the same lab: the bound of its figures. */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { layoutOf } from '../../src/piece/layout.ts'
import type { Host } from '../../test/lab/host.ts'
import { tryRun } from '../../test/lab/run.ts'
import { until } from '../../test/lab/until.ts'

const python = '/usr/bin/python3'
const program = join(import.meta.dir, 'least.py')
const port = 7000

/** Undefined where it can run, else why not. */
export async function obstacle(): Promise<string | undefined> {
  const { code } = await tryRun([python, '-c', 'import hashlib']).catch(() => ({ code: 127 }))
  if (code !== 0) return 'python3 is not installed'
}

/** CPU-seconds of sending a file from one host to another in a layer's pieces, and of receiving, hashing and writing it. */
export async function leastOfMoving(
  { from, to }: { from: Host; to: Host },
  file: string,
  size: number,
): Promise<{ readonly sent: number; readonly received: number }> {
  const piece = String(layoutOf(size).pieceLength)
  const copy = join(to.dir, 'least')
  const sender = from.spawn([python, program, 'send', from.address, String(port), file, piece], {
    log: 'least-send.log',
  })
  await until('the sender listens', 20, () => sender.logged().includes('ready'), 20)
  const command = [python, program, 'receive', from.address, String(port), String(size), piece, copy]
  try {
    const received = lastOf(await to.exec(command))
    await sender.exited
    return { sent: lastOf(sender.logged()), received }
  } finally {
    rmSync(copy, { force: true })
    await sender.stop()
  }
}

/** Starts a relay on the host, which reads that URL for each request that it gets, hashes, writes and passes it on; its URL. */
export async function startRelay(host: Host, url: string, size: number): Promise<string> {
  const copy = join(host.dir, 'least')
  const command = [python, program, 'relay', String(port), url, String(layoutOf(size).pieceLength), copy]
  const process = host.spawn(command, { log: 'least-relay.log' })
  await until('the relay listens', 20, () => process.logged().includes('ready'), 20)
  return `http://127.0.0.1:${port}/`
}

function lastOf(output: string): number {
  return (JSON.parse(output.trim().split('\n').at(-1) ?? '') as { cpuSeconds: number }).cpuSeconds
}
