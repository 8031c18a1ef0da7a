/**
 * A long-running program of the lab, in a process group of its own so that nothing of it outlives the lab. No Ctrl-C
 * reaches such a group: whatever runs is killed when this process ends, by SIGINT and SIGTERM too.
 */
import { closeSync, openSync, readFileSync } from 'node:fs'

export interface SpawnOptions {
  readonly env?: Record<string, string>
  readonly cwd?: string
  /** File that stdout and stderr are appended to. */
  readonly log: string
}

/** What runs now. Nothing listens to signals for the sake of none. */
const living = new Set<LabProcess>()

const killLiving = () => {
  for (const each of living) each.signal('SIGKILL')
}

/** Ends this process, and with it come all listeners to its exit: also those of labs and folders, whoever is first. */
const end = (signal: NodeJS.Signals) => process.exit(signal === 'SIGINT' ? 130 : 143)

function lives(child: LabProcess): void {
  if (living.size === 0) process.on('exit', killLiving).on('SIGINT', end).on('SIGTERM', end)
  living.add(child)
}

function ended(child: LabProcess): void {
  if (!living.delete(child) || living.size > 0) return
  process.off('exit', killLiving).off('SIGINT', end).off('SIGTERM', end)
}

export class LabProcess {
  readonly log: string
  readonly #child: Bun.Subprocess

  constructor(command: readonly string[], options: SpawnOptions) {
    this.log = options.log
    const out = openSync(options.log, 'a')
    try {
      this.#child = Bun.spawn([...command], {
        stdin: 'ignore',
        stdout: out,
        stderr: out,
        env: { ...process.env, ...options.env },
        // A session, and so a process group, of its own.
        detached: true,
        ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      })
    } finally {
      closeSync(out)
    }
    lives(this)
    void this.#child.exited.then(() => ended(this))
  }

  get pid(): number {
    return this.#child.pid
  }

  get running(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null
  }

  /** Resolves with the exit code; 128 and more for a signal. */
  get exited(): Promise<number> {
    return this.#child.exited
  }

  logged(): string {
    return readFileSync(this.log, 'utf8')
  }

  /** Sends a signal to the whole group. */
  signal(name: NodeJS.Signals): void {
    try {
      process.kill(-this.pid, name)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
    }
  }

  /** Asks it to stop, and after `graceMs` makes it. */
  async stop(graceMs = 5000): Promise<number> {
    if (!this.running) return this.exited
    this.signal('SIGTERM')
    const timer = setTimeout(() => this.signal('SIGKILL'), graceMs)
    try {
      return await this.exited
    } finally {
      clearTimeout(timer)
      // Children that ignored the signal while their parent obeyed it.
      this.signal('SIGKILL')
    }
  }

  /** As a crash would end it. */
  async kill(): Promise<void> {
    this.signal('SIGKILL')
    await this.exited
  }
}
