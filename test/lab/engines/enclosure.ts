/**
 * Where an engine runs: in the network of a lab's host, with mounts and processes of its own, so that however it ends,
 * its containers, shims and mounts end with it. `/run` is its own as well: engines keep fixed paths there, and two of
 * them on one machine would meet.
 */
import { join } from 'node:path'
import type { Host } from '../host.ts'

/** The command to give to {@link Host.spawn} or {@link Host.exec}. `hosts` is a file to have as `/etc/hosts`. */
export function enclosed(command: readonly string[], hosts = '/etc/hosts'): string[] {
  const setup = 'mount -t tmpfs tmpfs /run && mount --bind "$1" /etc/hosts && shift && exec "$@"'
  return [
    // `ip netns exec` hides the control groups that containers need; the mounts of this process show them.
    ...['nsenter', `--mount=/proc/${process.pid}/ns/mnt`],
    ...['unshare', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc'],
    ...['sh', '-c', setup, 'sh', hosts, ...command],
  ]
}

/** Waits until `probe` succeeds on the host. @throws when the engine ends before, or does not answer within 20 s */
export async function answering(
  name: string,
  engine: { readonly running: boolean; logged(): string },
  probe: () => Promise<{ readonly code: number }>,
): Promise<void> {
  const end = performance.now() + 20_000
  while (engine.running && performance.now() < end) {
    if ((await probe()).code === 0) return
    await Bun.sleep(50)
  }
  const state = engine.running ? 'does not answer' : 'ended'
  throw new Error(`${name} ${state}: ${engine.logged().trim().slice(-2000) || 'it said nothing'}`)
}

/** Sockets have short paths (108 bytes), so all of an engine is directly below the host's folder. */
export const engineDir = (host: Host, engine: string) => join(host.dir, engine)
