/** A process that writes is killed, again and again; what the catalog then claims has to be there, byte for byte. */
import { Database } from 'bun:sqlite'
import { afterAll, expect, test } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sample } from '../../test/conformance/blob-store.ts'
import { killedBlobSize } from '../../test/fakes/killed-writer.ts'
import { seededRandom, systemClock } from '../clock.ts'
import { pieceBytes, pieceStart } from '../piece/layout.ts'
import { silentLog } from '../telemetry/log.ts'
import { DiskStore } from './disk-store.ts'

const dir = mkdtempSync(join(tmpdir(), 'shoal-crash-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))

const writer = join(import.meta.dir, '../../test/fakes/killed-writer.ts')

test('whenever the process is killed, every recorded piece is in the file and the download goes on', async () => {
  const chance = Date.now() & 0xffff
  const random = seededRandom(chance)
  let blobSeed = 1
  let kept = 0
  for (let round = 0; round < 15; round++) {
    const child = Bun.spawn([process.execPath, writer, dir, String(blobSeed), String(round)], {
      stdout: 'pipe',
      stderr: 'inherit',
    })
    for await (const _ of child.stdout) break
    if (round === 0) {
      const second = DiskStore.open({ dir, clock: systemClock, log: silentLog })
      await expect(second).rejects.toThrow(`another shoal (pid ${child.pid}) uses ${dir}; stop it`)
    }
    await Bun.sleep(random() * 160)
    child.kill('SIGKILL')
    await child.exited

    using db = new Database(join(dir, 'shoal.db'))
    expect(db.query('PRAGMA integrity_check').get()).toEqual({ integrity_check: 'ok' })
    const store = await DiskStore.open({ dir, clock: systemClock, log: silentLog })
    const { digest } = sample(killedBlobSize, blobSeed)
    const blob = store.find(digest)
    for (const piece of blob?.have.indexes() ?? []) {
      const start = pieceStart(blob!.layout, piece)
      const bytes = await blob!.read({ start, end: start + pieceBytes(blob!.layout, piece) })
      const right = blob!.metainfo.verify(piece, bytes)
      expect({ chance, round, piece, right }).toEqual({ chance, round, piece, right: true })
    }
    kept += blob?.have.count ?? 0
    // The next blob starts while the one before is removed: its path and its record must not be mixed up.
    if (blob?.complete || (blob?.have.count ?? 0) > 30) {
      await store.remove(digest)
      blobSeed = 3 - blobSeed
    }
    await store.close()
  }
  expect(kept).toBeGreaterThan(0)
}, 60_000)
