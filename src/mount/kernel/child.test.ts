import { afterEach, describe, expect, test } from 'bun:test'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { until } from '../../../test/lab/until.ts'
import { Children } from './child.ts'

const folder = mkdtempSync(join(tmpdir(), 'children-'))
let children: Children | undefined
afterEach(() => children?.close())
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))

describe('a child process', () => {
  test('says what there is, and is asked again without being started again', async () => {
    children = new Children()
    writeFileSync(join(folder, 'file'), '')
    const [seen] = await children.carry([{ do: 'look', path: folder }])
    expect(seen).toMatchObject({ errno: 0, seen: { kind: 'directory', real: folder, empty: false } })
    const [none] = await children.carry([{ do: 'look', path: join(folder, 'none') }])
    expect(none?.seen?.kind).toBe('nothing')
  })

  test('that does not answer is killed at its deadline, and the next one answers', async () => {
    const script = join(folder, 'sleeper.ts')
    const once = join(folder, 'once')
    // The first hangs, and those after it answer.
    writeFileSync(
      script,
      `import { existsSync, writeFileSync } from 'node:fs'
       if (existsSync(${JSON.stringify(once)})) for await (const _ of console) console.log('[]')
       writeFileSync(${JSON.stringify(once)}, String(process.pid))
       setTimeout(() => {}, 20_000)`,
    )
    children = new Children({ command: [process.execPath, script], deadlineMs: 1500 })
    expect(children.carry([{ do: 'look', path: '/' }])).rejects.toThrow('no answer about mounts within 1.5 s')
    while (!(await Bun.file(once).exists())) await Bun.sleep(10)
    const hung = Number(await Bun.file(once).text())
    expect(await children.carry([{ do: 'look', path: '/' }])).toEqual([])
    while (await Bun.file(`/proc/${hung}/stat`).exists()) await Bun.sleep(10)
  })

  test('answers many who ask at once, one after the other, and another is started only when it takes long', async () => {
    const script = join(folder, 'counted.ts')
    const started = join(folder, 'started')
    writeFileSync(
      script,
      `import { appendFileSync } from 'node:fs'
       appendFileSync(${JSON.stringify(started)}, 'x')
       for await (const line of console) {
         if (line.includes('slow')) await Bun.sleep(2000)
         console.log('[]')
       }`,
    )
    const count = () => (existsSync(started) ? readFileSync(started).length : 0)
    children = new Children({ command: [process.execPath, script] })
    children.warm()
    await until('the first is there', 10, () => count() === 1)
    await Promise.all(Array.from({ length: 20 }, () => children!.carry([{ do: 'look', path: '/' }])))
    expect(count()).toBe(1)
    const slow = children.carry([{ do: 'look', path: '/slow' }])
    await children.carry([{ do: 'look', path: '/' }])
    expect(count()).toBe(2)
    await slow
  })

  test('that cannot do its work ends with an error, not with silence', async () => {
    children = new Children({ command: ['/bin/false'] })
    expect(children.carry([{ do: 'look', path: '/' }])).rejects.toThrow('ended with 1')
  })
})
