/**
 * The real log: pino, to standard error. JSON for machines, one readable line each on a terminal. Written
 * synchronously, in this process: a worker would lose the last lines, which are the ones that matter.
 */
import pino, { type Logger } from 'pino'
import { prettyFactory } from 'pino-pretty'
import { printable } from '../printable.ts'
import { priorities, toJournal } from './journal.ts'
import { type Fields, type Log, type LogLevel, logLevels } from './log.ts'
import { StandardError } from './standard-error.ts'

export interface LogOptions {
  readonly level: LogLevel
  readonly format: 'text' | 'json'
  /** Colours in text; ignored for JSON. */
  readonly color: boolean
  /** Whether lines begin with a priority, for the journal; found out where it is not given. */
  readonly journal?: boolean
  /** Told of each line that is written, before keys that are secrets are taken out of `fields`. */
  readonly written?: (level: LogLevel, message: string, fields?: Fields) => void
  /** Told of each of those that could not be written in the end. */
  readonly lost?: () => void
}

/** The level may be changed, for this log and all its children, those there are already included. */
export interface LevelledLog extends Log {
  level: LogLevel
}

/** Where lines go; takes whole lines. */
export interface Lines {
  write(line: string): void
}

/** Values of these keys never reach a line, three levels deep; in any letter case that HTTP and people use. */
export const secretKeys = ['authorization', 'Authorization', 'proxy-authorization', 'cookie', 'set-cookie', 'password']
  .concat(['passwd', 'token', 'accessToken', 'access_token', 'refresh_token', 'identitytoken', 'identityToken'])
  .concat(['secret', 'clusterKey', 'apiKey'])

const paths = secretKeys.flatMap((key) => {
  const member = /^\w+$/.test(key) ? `.${key}` : `["${key}"]`
  return [member.replace(/^\./, ''), `*${member}`, `*.*${member}`]
})

export function createLog(options: LogOptions, lines?: Lines): LevelledLog {
  const { format, color, journal = lines === undefined && toJournal() } = options
  const gate = new Gate(options.level, options.written)
  const destination = lines ?? new StandardError({ lost: options.lost ?? (() => {}) })
  const logger = pino(
    {
      // A child of pino's keeps the level that its parent had when it was made: the gate decides for all of them.
      level: 'debug',
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      messageKey: 'message',
      redact: { paths, censor: '[redacted]' },
    },
    changed(destination, format === 'json' ? printable : readable(color), journal),
  )
  return {
    ...adapt(logger, gate),
    get level() {
      return gate.level
    },
    set level(level) {
      gate.level = level
    },
  }
}

class Gate {
  level: LogLevel
  readonly #written: LogOptions['written']

  constructor(level: LogLevel, written: LogOptions['written']) {
    this.level = level
    this.#written = written
  }

  get stacks(): boolean {
    return this.level === 'debug'
  }
  passes(level: LogLevel, message: string, fields?: Fields): boolean {
    if (logLevels.indexOf(level) < logLevels.indexOf(this.level)) return false
    this.#written?.(level, message, fields)
    return true
  }
}

/** pino tells a stream that has its symbol the level of the line that comes. */
function changed(destination: Lines, format: (line: string) => string, journal: boolean) {
  return {
    [pino.symbols.needsMetadataGsym]: true as const,
    lastLevel: 0,
    write(line: string) {
      const level = pino.levels.labels[this.lastLevel] as LogLevel
      destination.write((journal ? priorities[level] : '') + format(line))
    },
  }
}

/** pino-pretty's formatter without its stream, which would write later, after the process may have ended. */
function readable(colorize: boolean): (line: string) => string {
  const pretty = prettyFactory({
    colorize,
    singleLine: true,
    translateTime: 'SYS:HH:MM:ss.l',
    messageKey: 'message',
    errorLikeObjectKeys: [],
  })
  // The rest is in it as JSON, which has C0 written otherwise, and these as they are.
  return (line) => pretty(line).replaceAll(/[\u007f-\u009f]/g, printable)
}

function adapt(logger: Logger, gate: Gate): Log {
  const write = (level: LogLevel) => (message: string, fields?: Fields) => {
    if (!gate.passes(level, message, fields)) return
    if (fields === undefined) logger[level](printable(message))
    else logger[level](plain(fields, gate.stacks), printable(message))
  }
  return {
    debug: write('debug'),
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
    child: (fields) => adapt(logger.child(plain(fields, gate.stacks)), gate),
  }
}

/** Errors have no enumerable fields and would print as `{}`. */
function plain(fields: Fields, stacks: boolean): Fields {
  return Object.values(fields).some((value) => value instanceof Error)
    ? Object.fromEntries(
        Object.entries(fields).map(([key, value]) => [key, value instanceof Error ? describe(value, stacks) : value]),
      )
    : fields
}

/** `cause` goes down three levels: below that are the system call and nothing new. */
function describe(error: Error, stacks: boolean, depth = 3): Fields {
  return {
    type: error.name,
    ...('code' in error ? { code: error.code } : {}),
    message: error.message,
    ...(error.cause instanceof Error && depth > 0 ? { cause: describe(error.cause, false, depth - 1) } : {}),
    ...(stacks ? { stack: error.stack } : {}),
  }
}
