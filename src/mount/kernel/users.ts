/** Which processes keep a file system busy: by links of /proc alone, so that nobody waits for the file system itself. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'

export interface User {
  readonly pid: number
  readonly name: string
}

export function usersOf(dir: string, proc = '/proc'): User[] {
  const within = (path: string | undefined) => path !== undefined && (path === dir || path.startsWith(`${dir}/`))
  return readdirSync(proc)
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      const base = `${proc}/${pid}`
      const open = () => list(`${base}/fd`).some((fd) => within(linkOf(`${base}/fd/${fd}`)))
      const mapped = () =>
        read(`${base}/maps`)
          .split('\n')
          .some((line) => within(line.slice(73)))
      const used = within(linkOf(`${base}/cwd`)) || within(linkOf(`${base}/root`)) || open() || mapped()
      return used ? [{ pid: Number(pid), name: read(`${base}/comm`).trim() }] : []
    })
}

function linkOf(path: string): string | undefined {
  try {
    return readlinkSync(path)
  } catch {
    return undefined
  }
}

function list(path: string): string[] {
  try {
    return readdirSync(path)
  } catch {
    return []
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
