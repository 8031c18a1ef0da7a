import { expect, test } from 'bun:test'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { outputAt } from './sink.ts'

test('what the system says of a download is about the name that it was to have', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'shoal-sink-'))
  try {
    const path = join(dir, 'disk')
    mkdirSync(`${path}.part`)
    await expect(outputAt(path)).rejects.toMatchObject({ code: 'EISDIR', path })
    const other = join(dir, 'other')
    const output = await outputAt(other)
    mkdirSync(other)
    await expect(output.finish()).rejects.toMatchObject({ code: 'EISDIR', path: other })
    await output.close()
  } finally {
    rmSync(dir, { recursive: true })
  }
})
