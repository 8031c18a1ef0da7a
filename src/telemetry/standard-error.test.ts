import { expect, test } from 'bun:test'
import { join } from 'node:path'
import { StandardError } from './standard-error.ts'

const failure = (code: string) => Object.assign(new Error(code), { code })

/** What it does with each write in turn: takes so many bytes, or fails so; the last one for ever. */
function setUp(...turns: (number | string)[]) {
  const [out, slept]: [string[], number[]] = [[], []]
  let lost = 0
  const write = (bytes: Uint8Array) => {
    const turn = turns.length > 1 ? turns.shift()! : turns[0]!
    if (typeof turn === 'string') throw failure(turn)
    const taken = bytes.subarray(0, turn)
    out.push(Buffer.from(taken).toString())
    return taken.length
  }
  const lines = new StandardError({ write, sleep: (ms) => void slept.push(ms), lost: () => lost++ })
  return { lines, turns, slept: () => slept.length, out: () => out.join(''), lost: () => lost }
}

test('a line that cannot be written is lost and counted, and the next is tried again', () => {
  const { lines, out, lost, turns } = setUp('ENOSPC')
  for (const line of ['a\n', 'b\n']) lines.write(line)
  expect([out(), lost()]).toEqual(['', 2])
  turns[0] = 100
  lines.write('c\n')
  expect([out(), lost()]).toEqual(['c\n', 2])
})

test('what comes after a line that was cut begins on a line of its own', () => {
  const { lines, out, lost } = setUp(3, 'ENOSPC', 'ENOSPC', 100)
  for (const line of ['first\n', 'second\n', 'third\n', 'fourth\n']) lines.write(line)
  expect([out(), lost()]).toEqual(['fir\nthird\nfourth\n', 2])
})

test('a line that is taken in parts is whole', () => {
  const { lines, out, lost } = setUp(2)
  lines.write('größer\n')
  expect([out(), lost()]).toEqual(['größer\n', 0])
})

test('a slow reader is waited for, once for all lines', () => {
  const { lines, out, lost, slept, turns } = setUp('EAGAIN', 'EAGAIN', 100, 'EAGAIN')
  lines.write('a\n')
  expect([out(), lost(), slept()]).toEqual(['a\n', 0, 2])
  lines.write('b\n')
  const waited = slept()
  expect([lost(), waited]).toEqual([1, 52])
  for (let i = 0; i < 100; i++) lines.write('c\n')
  expect([lost(), slept()]).toEqual([101, waited])
  turns[0] = 100
  lines.write('d\n')
  expect([out(), lost()]).toEqual(['a\nd\n', 101])
})

test.each(['json', 'text'])('who logs to a full disk goes on: %s', (format) => {
  const script = `
    import { createLog } from '${join(import.meta.dir, 'pino.ts')}'
    let lost = 0
    const log = createLog({ level: 'info', format: '${format}', color: false, lost: () => lost++ })
    const speak = () => log.info('a line', { of: 'some length' })
    setTimeout(() => { for (let i = 0; i < 3; i++) speak() }, 1)
    setTimeout(() => console.log('lost', lost), 20)`
  const command = ['bash', '-c', '"$0" -e "$1" 2> /dev/full', process.execPath, script]
  const { exitCode, stdout } = Bun.spawnSync(command)
  expect([exitCode, stdout.toString()]).toEqual([0, 'lost 3\n'])
})
