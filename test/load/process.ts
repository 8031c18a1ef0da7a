/** What a process has used of the machine, from /proc. */
import { readFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { tryRun } from '../lab/run.ts'

/** CLK_TCK, which Linux has fixed at 100 for what it shows there. */
const ticksPerSecond = 100

/** CPU-seconds, user and system, of all threads. */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  // The name is in parentheses and may contain anything.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond
}

/** Resident now and at most so far, in bytes. */
export function memoryOf(pid: number): { readonly resident: number; readonly peak: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const field = (name: string) => Number(new RegExp(`^${name}:\\s+([0-9]+) kB`, 'm').exec(status)?.[1]) * 1024
  return { resident: field('VmRSS'), peak: field('VmHWM') }
}

/** All threads of that process run on that core from now on. False where there is no other core or no taskset. */
export async function pin(pid: number, core: number): Promise<boolean> {
  if (cpus().length < 2) return false
  return (await tryRun(['taskset', '--all-tasks', '--cpu-list', '--pid', String(core), String(pid)])).code === 0
}
