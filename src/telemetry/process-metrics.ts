/**
 * What Prometheus' own libraries tell of a process, under the names that dashboards know, read when it is asked for.
 * Not prom-client's collection: half of that is about Node's engine, and its event loop's delay wants a timer.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { Counter, Gauge, type Registry } from 'prom-client'

export function processMetrics(registers: Registry[]) {
  return {
    cpuSeconds: new Counter({
      name: 'process_cpu_seconds_total',
      help: 'Seconds of processor time that this process took',
      registers,
      collect() {
        const { user, system } = process.cpuUsage()
        this.reset()
        this.inc((user + system) / 1e6)
      },
    }),
    residentBytes: new Gauge({
      name: 'process_resident_memory_bytes',
      help: 'Bytes of memory that this process takes',
      registers,
      collect() {
        this.set(process.memoryUsage.rss())
      },
    }),
    heapBytes: new Gauge({
      name: 'process_heap_bytes',
      help: 'Bytes of it that the script uses, as of the last collection of garbage',
      registers,
      collect() {
        this.set(process.memoryUsage().heapUsed)
      },
    }),
    openFiles: new Gauge({
      name: 'process_open_fds',
      help: 'Files and connections that this process has open',
      registers,
      collect() {
        this.set(told(() => readdirSync('/proc/self/fd').length))
      },
    }),
    mostFiles: new Gauge({
      name: 'process_max_fds',
      help: 'Files and connections that this process may have open',
      registers,
      collect() {
        this.set(told(() => limitIn(readFileSync('/proc/self/limits', 'utf8'))))
      },
    }),
    startSeconds: new Gauge({
      name: 'process_start_time_seconds',
      help: 'When this process was started, in seconds since 1970',
      registers,
      collect() {
        this.set(Math.round(performance.timeOrigin) / 1000)
      },
    }),
  }
}

export function limitIn(limits: string): number {
  const soft = /^Max open files +(\d+|unlimited)/m.exec(limits)?.[1]
  return soft === 'unlimited' ? Number.POSITIVE_INFINITY : Number(soft)
}

/** Not a number where the system does not tell: no alert takes that for a value. */
function told(look: () => number): number {
  try {
    return look()
  } catch {
    return Number.NaN
  }
}
