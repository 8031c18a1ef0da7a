/** The machine that measures: what it is, how busy it was, and what a process took of it. */
import { readdirSync, readFileSync } from 'node:fs'
import { cpus, release, totalmem } from 'node:os'

export interface Machine {
  readonly cpu: string
  readonly cores: number
  readonly memoryGiB: number
  readonly kernel: string
  readonly bun: string
}

export function machine(): Machine {
  const all = cpus()
  return {
    cpu: all[0]?.model.trim() ?? 'unknown',
    cores: all.length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    bun: Bun.version,
  }
}

/** Linux counts in hundredths of a second, whatever the kernel's own tick is (`USER_HZ`). */
const ticksPerSecond = 100

/** CPU-seconds a process has taken, in user and kernel mode, its threads included (proc(5), `/proc/pid/stat`). */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  // The second field is the program's name in parentheses, which may hold spaces.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond
}

/** CPU-seconds of a process' first thread, in itself and in the kernel for it. */
export interface MainThread {
  readonly program: number
  readonly kernel: number
}

export function mainThread(pid: number): MainThread {
  const stat = readFileSync(`/proc/${pid}/task/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return { program: Number(fields[11]) / ticksPerSecond, kernel: Number(fields[12]) / ticksPerSecond }
}

/** What a node's threads do, as their names tell. */
export type Work = 'main thread' | "JavaScript's compiler" | 'files' | 'other threads'

function workOf(name: string): Work {
  if (/^(JITWorker|JSCWarmUp)/.test(name)) return "JavaScript's compiler"
  return /^Bun Pool/.test(name) ? 'files' : 'other threads'
}

export interface ThreadTime {
  readonly work: Work
  readonly seconds: number
}

/** The same by thread, of those that still live (`/proc/pid/task/tid/stat`). */
export function cpuSecondsByThread(pid: number): Map<string, ThreadTime> {
  const threads = new Map<string, ThreadTime>()
  for (const tid of readdirSync(`/proc/${pid}/task`)) {
    const stat = statOf(`/proc/${pid}/task/${tid}/stat`)
    if (stat === undefined) continue
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    const work = tid === String(pid) ? 'main thread' : workOf(stat.slice(stat.indexOf('(') + 1, stat.lastIndexOf(')')))
    threads.set(tid, { work, seconds: (Number(fields[11]) + Number(fields[12])) / ticksPerSecond })
  }
  return threads
}

/** Undefined when the thread has just ended. */
function statOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

export interface Load {
  readonly busy: number
  readonly all: number
}

/** CPU-seconds of all cores since the machine started, and how many of them were not idle. */
export function load(): Load {
  const [line = ''] = readFileSync('/proc/stat', 'utf8').split('\n', 1)
  // user nice system idle iowait irq softirq steal; guest time is in user time already.
  const ticks = line.split(/\s+/).slice(1, 9).map(Number)
  const all = ticks.reduce((sum, value) => sum + value, 0)
  return { busy: (all - ticks[3]! - ticks[4]!) / ticksPerSecond, all: all / ticksPerSecond }
}

/** Share of all cores that were at work since then, up to `now`, by anybody: near 1, the machine is what was measured. */
export function busySince(before: Load, now = load()): number {
  return (now.busy - before.busy) / Math.max(now.all - before.all, 1 / ticksPerSecond)
}

/** Waits, for `seconds` at most, until the machine has had next to nothing to do for a second. */
export async function atRest(seconds: number): Promise<void> {
  for (let waited = 0; waited < seconds; waited++) {
    const before = load()
    await Bun.sleep(1000)
    if (busySince(before) < 0.1) return
  }
}
