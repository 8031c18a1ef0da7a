/** What both databases can do, so that what is kept in them is written once. */
export type Value = string | number | null

/** Integers beyond 32 bits come as text from some clients, so every number is read by {@link numberIn}. */
export type Row = Readonly<Record<string, string | number | bigint | null>>

export interface Sql {
  readonly dialect: Dialect
  /** One statement; values stand where `$1`, `$2`, ... are. @throws {Failure} `unavailable` */
  rows(text: string, values?: readonly Value[]): Promise<Row[]>
  /** All of it or nothing, and nothing of another transaction in between that it could see. @throws {Failure} `unavailable` */
  transaction<T>(work: (sql: Sql) => Promise<T>): Promise<T>
}

/** Where the two speak differently. */
export interface Dialect {
  /** A column that numbers the rows, ever upward. */
  readonly serial: string
  /** Statements after which the rows of that table are numbered from there on, if their numbers are not greater already. */
  readonly numberFrom: (table: string, first: number) => readonly string[]
  /** Text that is ordered by its code units. */
  readonly text: string
  /** Of a row that is to be claimed: the next one instead, where somebody else is about to claim it. */
  readonly skipLocked: string
  /** A statement after which transactions that say it too go one after the other; so their numbers are visible in order. */
  readonly inTurn: string | undefined
}

export function numberIn(row: Row, name: string): number {
  return Number(row[name])
}

export function optionalNumber(row: Row, name: string): number | undefined {
  return row[name] === null || row[name] === undefined ? undefined : Number(row[name])
}

export function textIn(row: Row, name: string): string {
  return String(row[name])
}

export function optionalText(row: Row, name: string): string | undefined {
  return row[name] === null || row[name] === undefined ? undefined : String(row[name])
}

/** PostgreSQL's text takes no NUL, and what two databases do with a value is to be the same. */
export function storable(value: Value): Value {
  return typeof value === 'string' ? value.replaceAll('\0', '') : value
}

/**
 * Nothing is put off, or held by somebody, for longer: what seems to be was written down by a clock that has been set back
 * since. Registries may say to come again in an hour; the rest is minutes.
 */
export const longestWaitMs = 3_600_000

/** A condition: that time has come, or can never have been meant. `now` and `far`, {@link longestWaitMs} later: `$1`, `$2`, ... */
export function isPast(column: string, now: string, far: string): string {
  return `(${column} <= ${now} OR ${column} > ${far})`
}
