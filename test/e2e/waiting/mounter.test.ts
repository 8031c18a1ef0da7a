import { expect, test } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MounterClient } from '../../../src/mount/mounter/client.ts'
import { listenAt } from '../../../src/mount/mounter/listening.ts'

/** A connection on which nothing comes is ended by Bun after ten seconds, which it looks at every four. */
const longMs = 15_000

test('the mounter answers also after longer than a server of Bun waits by itself, with a body in the request or none', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'shoal-mounter-'))
  const listening = listenAt(join(dir, 'm.sock'), async () => {
    await Bun.sleep(longMs)
    return Response.json({ error: 'in the end' }, { status: 404 })
  })
  try {
    const client = new MounterClient(join(dir, 'm.sock'), { lookUpMs: 4 * longMs })
    const mount = { node: { registry: 'http://127.0.0.1:1' }, image: 'lab/app', dir: '/mnt' }
    const answers = await Promise.allSettled([client.unmount('/mnt'), client.mounts(), client.mount(mount)])
    const said = answers.map((answer) => answer.status === 'rejected' && (answer.reason as Error).message)
    expect(said).toEqual(['in the end', 'in the end', 'in the end'])
    expect(listening.active).toBe(0)
  } finally {
    await listening.stop()
    rmSync(dir, { recursive: true, force: true })
  }
}, 60_000)
