/**
 * A copy of this machine's system on a host of a lab, changes of which are in memory: what operators are told to write is
 * run there as it stands, with the usual files and ports of engines. Mounts and processes end with the program that
 * holds them.
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Host } from './host.ts'
import type { LabProcess } from './process.ts'
import { type Output, tryRun } from './run.ts'
import { until } from './until.ts'

/** Engines want file systems below which they can have overlays of their own. */
const ownFolders = ['run', 'tmp', 'var/lib/docker', 'var/lib/containerd', 'var/lib/containers', 'var/lib/shoal']

export class OwnSystem {
  readonly #host: Host
  readonly #pid: number
  readonly #env: Record<string, string>

  private constructor(host: Host, pid: number, env: Record<string, string>) {
    this.#host = host
    this.#pid = pid
    this.#env = env
  }

  /** `folders` of this machine are seen there too, and only read. @param env of all that runs there */
  static async start(host: Host, folders: readonly string[], env: Record<string, string> = {}): Promise<OwnSystem> {
    const dir = join(host.dir, 'system')
    mkdirSync(dir)
    // The kernel mounts EROFS from files of a disk alone.
    const onDisk = join(host.dir, 'on-disk')
    mkdirSync(onDisk)
    const setup = [
      'set -e',
      `mount -t tmpfs -o size=2g tmpfs ${dir}`,
      `mkdir ${dir}/upper ${dir}/work ${dir}/root`,
      `mount -t overlay -o lowerdir=/,upperdir=${dir}/upper,workdir=${dir}/work overlay ${dir}/root`,
      `cd ${dir}/root`,
      'mount --rbind /dev dev && mount --rbind /sys sys && mount -t proc proc proc',
      ...ownFolders.map((folder) => `mkdir -p ${folder} && mount -t tmpfs -o mode=755 tmpfs ${folder}`),
      `mkdir -p var/lib/shoal-mounter && mount --bind ${onDisk} var/lib/shoal-mounter`,
      'chmod 1777 tmp',
      ...folders.map((folder) => `mkdir -p .${folder} && mount --rbind ${folder} .${folder}`),
      'exec chroot . sleep infinity',
    ]
    const held = host.spawn(
      [
        // As for engines: `ip netns exec` hides the control groups that containers need.
        ...['nsenter', `--mount=/proc/${process.pid}/ns/mnt`],
        ...['unshare', '--mount', '--pid', '--fork', '--kill-child', 'sh', '-c', setup.join('\n')],
      ],
      { log: 'system.log' },
    )
    const pid = await heldBy(held)
    return new OwnSystem(host, pid, env)
  }

  /** Runs a line of shell there. */
  run(line: string): Promise<Output> {
    return tryRun(this.#inside(['bash', '-c', `cd / && ${line}`]), this.#env)
  }

  /** Runs it as at a terminal where each question is answered with yes. */
  answered(line: string): Promise<Output> {
    const terminal = `cd / && printf 'y\\ny\\n' | script --quiet --return --command "$1" /dev/null`
    // The shell that script(1) runs the line with; else that of whoever runs the tests, or sh.
    return tryRun(this.#inside(['bash', '-c', terminal, '-', line]), { ...this.#env, SHELL: '/bin/bash' })
  }

  /** Starts a program there; the lab ends it. */
  spawn(line: string, log: string): LabProcess {
    return this.#host.spawn(['bash', '-c', 'exec "$@"', '-', ...this.#inside(['bash', '-c', `cd / && exec ${line}`])], {
      log,
      env: this.#env,
    })
  }

  #inside(command: readonly string[]): string[] {
    return ['nsenter', `--target=${this.#pid}`, '--mount', '--pid', '--net', '--root', ...command]
  }
}

/** The `sleep` that holds namespaces of its own, once the shell that mounts what is in them has become it. */
export async function heldBy(held: LabProcess): Promise<number> {
  let pid = 0
  await until('the system is mounted', 20, async () => {
    if (!held.running) throw new Error(`the system could not be made: ${held.logged().trim()}`)
    const { stdout } = await tryRun(['pgrep', '--session', String(held.pid), '--exact', 'sleep'])
    pid = Number(stdout.trim())
    return pid > 0
  })
  return pid
}
