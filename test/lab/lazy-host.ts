/**
 * A host of a lab whose images are mounted instead of pulled: mounts and processes of its own on the host's network, so
 * that the mounter, its mounts and whatever runs in them end with it.
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { MountFacts } from '../../src/mount/mounter/api.ts'
import { MounterClient } from '../../src/mount/mounter/client.ts'
import type { Host } from './host.ts'
import { builtBinary } from './node.ts'
import { heldBy } from './own-system.ts'
import type { LabProcess } from './process.ts'
import { type Output, run, tryRun } from './run.ts'
import { until } from './until.ts'

const socket = '/run/shoal-mounter/mounter.sock'

export class LazyHost {
  readonly host: Host
  /** Of the mounter there. */
  readonly client: MounterClient
  readonly #held: LabProcess
  readonly #pid: number
  readonly #flags: readonly string[]
  #mounter: LabProcess | undefined

  private constructor(host: Host, held: LabProcess, pid: number, flags: readonly string[]) {
    this.host = host
    this.client = new MounterClient(`/proc/${pid}/root${socket}`)
    this.#held = held
    this.#pid = pid
    this.#flags = flags
  }

  /** @param flags of its mounter, beside those that say where it is */
  static async start(host: Host, flags: readonly string[] = []): Promise<LazyHost> {
    const setup = ['set -e', 'mount -t tmpfs tmpfs /run', 'exec sleep infinity']
    const held = host.spawn(
      [
        ...['nsenter', `--mount=/proc/${process.pid}/ns/mnt`],
        ...['unshare', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc', 'sh', '-c', setup.join('\n')],
      ],
      { log: 'lazy.log' },
    )
    return new LazyHost(host, held, await heldBy(held), flags)
  }

  /** The mounter of this host runs, as its unit has it run from the host's start on. */
  async ready(): Promise<void> {
    if (this.#mounter) return
    const kept = join(this.host.dir, 'mounter')
    mkdirSync(kept, { recursive: true })
    const command = [builtBinary, 'mounter', '--socket', socket, '--data-dir', kept, ...this.#flags]
    this.#mounter = this.host.spawn(['bash', '-c', 'exec "$@"', '-', ...this.#inside(command)], { log: 'mounter.log' })
    await until('the mounter answers', 20, async () => (await this.tryExec(['test', '-S', socket])).code === 0, 10)
  }

  /** Mounts an image through the node on this host; the first time it starts the mounter. @throws with what the command said */
  async mount(image: string, dir: string, ...flags: string[]): Promise<MountFacts> {
    await this.ready()
    return JSON.parse(await this.exec([builtBinary, 'mount', '--json', ...flags, image, dir])) as MountFacts
  }

  async umount(dir: string): Promise<void> {
    await this.exec([builtBinary, 'umount', dir])
  }

  async mounted(dir: string): Promise<MountFacts> {
    const { mounts } = JSON.parse(await this.exec([builtBinary, 'mounts', '--json'])) as { mounts: MountFacts[] }
    const found = mounts.find((mounted) => mounted.dir === dir)
    if (!found) throw new Error(`nothing is mounted at ${dir}`)
    return found
  }

  /** A line of shell there. @throws when it exits nonzero */
  shell(line: string): Promise<string> {
    return this.exec(['sh', '-c', line])
  }

  exec(command: readonly string[]): Promise<string> {
    return run(this.#inside(command))
  }

  tryExec(command: readonly string[]): Promise<Output> {
    return tryRun(this.#inside(command))
  }

  /** The last lines of the mounter's log that are not of its usual work. */
  logged(): string {
    const lines = (this.#mounter?.logged() ?? '')
      .split('\n')
      .filter((line) => line !== '' && !line.includes('"a layer is mounted"'))
    return lines.slice(-20).join('\n')
  }

  async stop(): Promise<void> {
    await this.#held.stop(3000)
  }

  #inside(command: readonly string[]): string[] {
    return ['nsenter', '--target', String(this.#pid), '--mount', '--pid', '--net', ...command]
  }
}
