/** What systemd says of a unit, and whether it runs the program that lies in its place now. */
import { statSync } from 'node:fs'

export interface Running {
  readonly active: boolean
  /** Of its process; 0: there is none. */
  readonly pid: number
  /** It runs another program than the one in its place: that was replaced, and the unit was not started again. */
  readonly outdated: boolean
  /** Its files were changed since systemd read them. */
  readonly unread: boolean
}

export const resting: Running = { active: false, pid: 0, outdated: false, unread: false }

const properties = ['ActiveState', 'MainPID', 'NeedDaemonReload']

/** For systemctl(1), which answers with lines for {@link runningOf}. */
export const shown = (unit: string) => ['systemctl', 'show', `--property=${properties.join(',')}`, unit]

export function runningOf(lines: string, program: string): Running {
  const said = (property: string) => new RegExp(`^${property}=(.*)$`, 'm').exec(lines)?.[1] ?? ''
  const pid = Number(said('MainPID'))
  return {
    active: ['active', 'reloading', 'refreshing'].includes(said('ActiveState')),
    pid,
    outdated: pid > 0 && !runs(pid, program),
    unread: said('NeedDaemonReload') === 'yes',
  }
}

/** By the file and not by its name: that of one which was replaced is still open. Where nothing is to be seen, it does. */
function runs(pid: number, program: string): boolean {
  try {
    const [open, there] = [`/proc/${pid}/exe`, program].map((path) => statSync(path, { bigint: true }))
    return open!.dev === there!.dev && open!.ino === there!.ino
  } catch {
    return true
  }
}
