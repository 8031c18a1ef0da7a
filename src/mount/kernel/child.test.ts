import { afterEach, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FakeClock } from '../../../test/fakes/clock.ts'
import { until } from '../../../test/lab/until.ts'
import { Children } from './child.ts'

// Each takes its time on a busy machine.
setDefaultTimeout(60_000)

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
       if (existsSync(${JSON.stringify(once)})) {
         for await (const _ of console) console.log('[]')
         process.exit()
       }
       writeFileSync(${JSON.stringify(once)}, String(process.pid))
       setTimeout(() => {}, 20_000)`,
    )
    const clock = new FakeClock()
    children = new Children({ clock, command: [process.execPath, script] })
    const late = children.carry([{ do: 'look', path: '/' }]).catch((error: Error) => error.message)
    const named = () => (existsSync(once) ? Number(readFileSync(once)) : 0)
    await until('the first hangs', 20, () => named() > 0, 10)
    const hung = named()
    const next = children.carry([{ do: 'look', path: '/' }])
    clock.advance(150)
    expect(await next).toEqual([])
    clock.advance(60_000)
    expect(await late).toContain('no answer about mounts within 60 s')
    await until('the first is gone', 20, () => !existsSync(`/proc/${hung}`), 10)
  })

  test('answers many who ask at once, one after the other, and another is started only when it takes long', async () => {
    const script = join(folder, 'counted.ts')
    const [started, go] = [join(folder, 'started'), join(folder, 'go')]
    writeFileSync(
      script,
      `import { appendFileSync, existsSync } from 'node:fs'
       appendFileSync(${JSON.stringify(started)}, 'x')
       for await (const line of console) {
         if (line.includes('slow')) while (!existsSync(${JSON.stringify(go)})) await Bun.sleep(10)
         console.log('[]')
       }`,
    )
    const count = () => (existsSync(started) ? readFileSync(started).length : 0)
    const clock = new FakeClock()
    children = new Children({ clock, command: [process.execPath, script] })
    children.warm()
    await until('the first is there', 20, () => count() === 1)
    await Promise.all(Array.from({ length: 20 }, () => children!.carry([{ do: 'look', path: '/' }])))
    expect(count()).toBe(1)
    const slow = children.carry([{ do: 'look', path: '/slow' }])
    const quick = children.carry([{ do: 'look', path: '/' }])
    clock.advance(150)
    await quick
    expect(count()).toBe(2)
    writeFileSync(go, '')
    await slow
  })

  test('that works is waited for before this program becomes another, and none is asked after that', async () => {
    const script = join(folder, 'slow.ts')
    const [begun, done] = [join(folder, 'slow-begun'), join(folder, 'slow-done')]
    writeFileSync(
      script,
      `import { writeFileSync } from 'node:fs'
       for await (const _ of console) {
         writeFileSync(${JSON.stringify(begun)}, '')
         await Bun.sleep(500)
         writeFileSync(${JSON.stringify(done)}, '')
         console.log('[]')
       }`,
    )
    const working = new Children({ command: [process.execPath, script] })
    const answer = working.carry([{ do: 'look', path: '/' }])
    await until('it works', 20, () => existsSync(begun), 10)
    await working.close()
    expect(existsSync(done)).toBe(true)
    expect(await answer).toEqual([])
    expect(working.carry([{ do: 'look', path: '/' }])).rejects.toThrow('this program ends')
  })

  test('that cannot do its work ends with an error, not with silence', async () => {
    children = new Children({ command: ['/bin/false'] })
    expect(children.carry([{ do: 'look', path: '/' }])).rejects.toThrow('ended with 1')
  })
})
