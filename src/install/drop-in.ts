/**
 * Where else than in its usual place the service may write, as a drop-in of its unit: systemd.exec(5). Pure. A folder
 * that ProtectHome= or PrivateTmp= hides is not there for a ReadWritePaths=; a BindPaths= brings it back, and nothing
 * else of what is beside it.
 */
import { usualData } from './places.ts'

const homes = /^\/(?:home|root|run\/user)\//
const temporary = /^\/(?:var\/)?tmp\//

export interface Folders {
  readonly dataDir: string
  /** Of homes. Not made, for they may be of a disk or a server that comes later: the node says which is not there. */
  readonly backends: readonly string[]
}

/** Undefined where all is in its usual place. */
export function foldersDropIn({ dataDir, backends }: Folders): string | undefined {
  const folders = [
    ...(dataDir === usualData ? [] : [{ path: dataDir, mark: '' }]),
    ...backends.filter((path) => path !== dataDir).map((path) => ({ path, mark: '-' })),
  ]
  if (folders.length === 0) return undefined
  const protect = folders.some(({ path }) => homes.test(path)) ? ['ProtectHome=tmpfs'] : []
  const lines = folders.map(({ path, mark }) =>
    homes.test(path) || temporary.test(path)
      ? `BindPaths=${word(mark + path.replaceAll(':', '\\:'))}`
      : `ReadWritePaths=${word(mark + path)}`,
  )
  return [...afterMounts(backends), '[Service]', ...protect, ...lines, ''].join('\n')
}

/**
 * What is to be mounted there is mounted first, but is not required: where a server does not answer, pulls go on. systemd
 * has `WantsMountsFor=` for it since 256; before, units of mounts are named, of which those that are none do nothing.
 */
function afterMounts(paths: readonly string[]): string[] {
  const units = new Set(paths.flatMap(foldersTo).map((path) => `${escaped(path)}.mount`))
  return units.size === 0 ? [] : ['[Unit]', ...['Wants', 'After'].map((key) => `${key}=${[...units].join(' ')}`), '']
}

/** `/srv/a/b`: `/srv`, `/srv/a`, `/srv/a/b`. */
function foldersTo(path: string): string[] {
  const names = path.split('/').filter((name) => name !== '')
  return names.map((_, i) => `/${names.slice(0, i + 1).join('/')}`)
}

/** A path as part of a unit's name: systemd.unit(5), "String Escaping for Inclusion in Unit Names". */
function escaped(path: string): string {
  const hex = (byte: number) => `\\x${byte.toString(16).padStart(2, '0')}`
  return [...Buffer.from(path.slice(1))]
    .map((byte, i) => {
      const char = String.fromCharCode(byte)
      if (char === '/') return '-'
      return /[A-Za-z0-9:_.]/.test(char) && !(i === 0 && char === '.') ? char : hex(byte)
    })
    .join('')
}

/** As a unit has it: `%` is special, and a blank ends it. */
function word(text: string): string {
  const plain = text.replaceAll('%', '%%')
  return /\s/.test(plain) ? `"${plain}"` : plain
}
