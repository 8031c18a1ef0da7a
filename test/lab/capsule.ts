/**
 * Mounts and processes of their own, on this machine's network: however a test ends, what ran and was mounted in it ends
 * with it. `/run` is its own as well, so that programs that keep fixed paths there do not meet others of their name.
 */
import { join } from 'node:path'
import { LabProcess } from './process.ts'
import { type Output, run, tryRun } from './run.ts'
import { until } from './until.ts'

export class Capsule {
  readonly dir: string
  readonly #holder: LabProcess
  #init = 0

  private constructor(dir: string, holder: LabProcess) {
    this.dir = dir
    this.#holder = holder
  }

  static async start(dir: string): Promise<Capsule> {
    const setup = 'mount -t tmpfs tmpfs /run && echo ready && exec sleep infinity'
    const flags = ['--mount', '--pid', '--fork', '--kill-child', '--mount-proc', '--propagation', 'private']
    const holder = new LabProcess(['unshare', ...flags, 'sh', '-c', setup], { log: join(dir, 'capsule.log') })
    const capsule = new Capsule(dir, holder)
    try {
      await until('mounts and processes of their own', 10, () => holder.logged().includes('ready'))
      capsule.#init = Number((await run(['cat', `/proc/${holder.pid}/task/${holder.pid}/children`])).trim())
      return capsule
    } catch (error) {
      await holder.kill()
      throw error
    }
  }

  spawn(name: string, command: readonly string[]): LabProcess {
    return new LabProcess(this.#inside(command), { log: join(this.dir, `${name}.log`) })
  }

  exec(command: readonly string[]): Promise<string> {
    return run(this.#inside(command))
  }

  tryExec(command: readonly string[]): Promise<Output> {
    return tryRun(this.#inside(command))
  }

  async close(): Promise<void> {
    await this.#holder.kill()
  }

  #inside(command: readonly string[]): string[] {
    return ['nsenter', `--target=${this.#init}`, '--mount', '--pid', '--', ...command]
  }
}
