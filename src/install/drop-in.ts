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
  return ['[Service]', ...protect, ...lines, ''].join('\n')
}

/** As a unit has it: `%` is special, and a blank ends it. */
function word(text: string): string {
  const plain = text.replaceAll('%', '%%')
  return /\s/.test(plain) ? `"${plain}"` : plain
}
