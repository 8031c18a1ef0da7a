/** Has an engine take what was written, and looks whether it did. */
import type { Disk } from './disk.ts'
import { listsMirrors, withEmptyList } from './docker.ts'
import type { Engine, Plan } from './plan.ts'
import { findRunning, mirrorsOfDockerd, type Running, socketsOf, uses } from './running.ts'
import type { Setting } from './setup.ts'

export interface Outcome {
  readonly state: 'in-use' | 'told' | 'restart-needed' | 'not-running' | 'failed'
  /** One sentence. */
  readonly said: string
}

const names: Record<Engine, string> = {
  docker: 'dockerd',
  containerd: 'containerd',
  'cri-o': 'CRI-O',
  podman: 'podman',
}
const looks = 20
const lookEveryMs = 250

export async function applied(
  { engine, file }: Setting,
  effect: Plan['effect'],
  disk: Disk,
  sleep: (ms: number) => Promise<void> = Bun.sleep,
): Promise<Outcome> {
  const name = names[engine]
  if (effect === 'none') return { state: 'in-use', said: `${name} reads these files at each pull: nothing to reload` }
  const running = findRunning(engine, file)
  if (!running)
    return { state: 'not-running', said: `no ${name} that reads ${file} runs now; it is read when one starts` }
  const who = `${name} (pid ${running.pid})`
  if (effect === 'restart') {
    return {
      state: 'restart-needed',
      said: `${who} reads ${file} only when it starts: systemctl restart ${engine} (containers go on)`,
    }
  }
  const look = () => (engine === 'docker' ? dockerdUses(running, file, disk) : Promise.resolve(undefined))
  const before = await look()
  if (before?.current) return { state: 'in-use', said: `${who} uses what ${file} has: ${before.said}` }
  let now = before
  const tell = async () => {
    process.kill(running.pid, 'SIGHUP')
    for (let tries = 0; tries < looks && now && !now.current; tries++) {
      await sleep(lookEveryMs)
      now = (await look()) ?? now
    }
  }
  try {
    if (engine !== 'docker' || listsMirrors(disk.read(file), file)) await tell()
    else {
      await withList(disk, file, async () => {
        await tell()
        // It reads in its own time, and cannot say when it has.
        if (!now) await sleep(looks * lookEveryMs)
      })
    }
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    return { state: 'failed', said: `${who} could not be told to read ${file}: ${why}` }
  }
  // Who cannot be asked is believed to have listened.
  if (!now) return { state: 'told', said: `${who} was told to read ${file} (SIGHUP)` }
  return now.current
    ? { state: 'in-use', said: `${who} read ${file} (SIGHUP, no restart): ${now.said}` }
    : {
        state: 'failed',
        said: `${who} was told to read ${file} and did not take it; its log says why. It has ${now.said}`,
      }
}

/**
 * Of a file without a list of mirrors dockerd believes that nothing is said of them, and goes on with those that it has. So it
 * reads an empty list, and the file is then as it was, byte for byte. Where that is interrupted, `--undo` goes on with it.
 */
async function withList(disk: Disk, file: string, tell: () => Promise<void>): Promise<void> {
  const before = disk.read(file)
  const after = withEmptyList(before, file)
  const manner = disk.manner(file)
  disk.write([{ path: file, before, after }])
  try {
    await tell()
  } finally {
    disk.write([{ path: file, before: after, after: before }], () => manner)
  }
}

/** Undefined if it cannot be asked. */
async function dockerdUses(running: Running, file: string, disk: Disk) {
  const config = disk.read(file)
  const mirrors = await mirrorsOfDockerd(socketsOf(running, config))
  if (!mirrors) return undefined
  const listed = mirrors.map((url) => url.replace(/\/$/, '')).join(', ')
  return { current: uses(mirrors, config), said: mirrors.length === 0 ? 'no mirrors' : `mirrors ${listed}` }
}
