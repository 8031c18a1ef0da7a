import { describe, expect, test } from 'bun:test'
import { Failure } from '../failure.ts'
import { logLevels } from './log.ts'
import { createLog, type LogOptions } from './pino.ts'

function logged(options: Partial<LogOptions>) {
  const lines: string[] = []
  const log = createLog(
    { level: 'info', format: 'json', color: false, ...options },
    { write: (line) => lines.push(line) },
  )
  return { log, lines, records: () => lines.map((line) => JSON.parse(line) as Record<string, unknown>) }
}

describe('JSON', () => {
  test('is one object a line with level, time, message and fields, those of the parents too', () => {
    const { log, records } = logged({})
    log.child({ module: 'store' }).warn('disk is nearly full', { free: 7 })
    const { time, ...rest } = records()[0]!
    expect(rest).toEqual({ level: 'warn', message: 'disk is nearly full', module: 'store', free: 7 })
    expect(String(time)).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/)
  })

  test('leaves out what is below the level', () => {
    const { log, lines } = logged({ level: 'warn' })
    log.debug('a')
    log.info('b')
    log.error('c')
    expect(lines).toHaveLength(1)
  })
})

test.each(['json', 'text'] as const)('%s has no commands to a terminal, whoever said them', (format) => {
  const { log, lines } = logged({ format })
  const said = 'gone\u001b[2J\u009b2J\u007f'
  log.info(`it said ${said}`, { said, error: new Error(said) })
  expect(lines.join().trimEnd()).not.toMatch(/\p{Cc}/u)
  expect(lines.join()).toContain('gone')
})

test.each(['json', 'text'] as const)(
  '%s for the journal begins with the priority that journalctl -p chooses by',
  (format) => {
    const { log, lines } = logged({ format, journal: true, level: 'debug' })
    for (const level of logLevels) log.child({ module: 'store' })[level]('a')
    expect(lines.map((line) => line.slice(0, 4))).toEqual(
      ['<7>', '<6>', '<4>', '<3>'].map((each) => each + (format === 'json' ? '{' : '[')),
    )
  },
)

describe('the level of a log that runs', () => {
  test('counts for its children too, those that were made before included', () => {
    const { log, records } = logged({})
    const child = log.child({ module: 'store' })
    child.debug('a')
    log.level = 'debug'
    child.debug('b')
    log.child({}).debug('c')
    log.level = 'error'
    child.warn('d')
    log.warn('e')
    expect(records().map(({ message }) => message)).toEqual(['b', 'c'])
    expect(log.level).toBe('error')
  })

  test('decides which lines are counted as written', () => {
    const counted: string[] = []
    const { log } = logged({ written: (level) => counted.push(level) })
    log.debug('a')
    log.info('b')
    log.child({}).error('c')
    expect(counted).toEqual(['info', 'error'])
  })
})

describe('an error among the fields', () => {
  const error = new Failure('unavailable', 'registry is away', { cause: new Error('connect ECONNREFUSED') })

  test('is told with code and causes, without a stack', () => {
    const { log, records } = logged({})
    log.error('pull failed', { error })
    expect(records()[0]).toMatchObject({
      message: 'pull failed',
      error: {
        type: 'Failure',
        code: 'unavailable',
        message: 'registry is away',
        cause: { type: 'Error', message: 'connect ECONNREFUSED' },
      },
    })
    expect(JSON.stringify(records())).not.toContain('pino.test.ts')
  })

  test('has its stack at debug level', () => {
    const { log, lines } = logged({ level: 'debug' })
    log.error('pull failed', { error })
    expect(lines[0]).toContain('pino.test.ts')
  })
})

describe('secrets', () => {
  const fields = {
    token: 'hunter2',
    headers: { authorization: 'Bearer hunter2', Authorization: 'hunter2', 'set-cookie': 'hunter2', accept: 'all' },
    login: { basic: { user: 'ann', password: 'hunter2' } },
  }
  test.each(['json', 'text'] as const)('do not reach %s, at any of three depths', (format) => {
    const { log, lines } = logged({ format })
    log.info('asked', fields)
    log.child(fields).info('asked')
    const text = lines.join('')
    expect(text).not.toContain('hunter2')
    expect(text).toContain('[redacted]')
    for (const plain of ['accept', 'ann']) expect(text).toContain(plain)
  })
})

describe('text', () => {
  test('is one line, whatever the fields', () => {
    const { log, lines } = logged({ format: 'text' })
    log.info('pulled', { image: 'debian', from: { swarm: 3 }, error: new Error('odd') })
    expect(lines).toHaveLength(1)
    expect(lines[0]).toMatch(/^\[[\d:.]+\] INFO: pulled \{.*"debian".*\}\n$/)
    expect(lines[0]).toContain('odd')
  })

  test('is coloured only where that is wanted', () => {
    const plain = logged({ format: 'text' })
    const colored = logged({ format: 'text', color: true })
    for (const { log } of [plain, colored]) log.warn('x')
    expect(plain.lines[0]).not.toContain('\u001b[')
    expect(colored.lines[0]).toContain('\u001b[')
  })
})
