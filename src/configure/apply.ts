/** Has an engine take what was written, and looks whether it did. */
import type { Disk } from './disk.ts'
import type { Mirrors, Plan } from './plan.ts'
import { findRunning, mirrorsOfDockerd, socketsOf, startsWith } from './running.ts'
import type { Setting } from './setup.ts'

export interface Outcome {
  readonly state: 'in-use' | 'told' | 'restart-needed' | 'not-running' | 'failed'
  /** One sentence. */
  readonly said: string
}

const restarts = {
  docker: 'systemctl restart docker',
  containerd: 'systemctl restart containerd',
  'cri-o': 'systemctl restart crio',
  podman: '',
}
const looks = 20
const lookEveryMs = 250

/** `expected`: the mirrors that it shall use first; undefined when they were taken away again. */
export async function applied(
  { engine, file }: Setting,
  effect: Plan['effect'],
  disk: Disk,
  expected: Mirrors | undefined,
): Promise<Outcome> {
  const name = { docker: 'dockerd', containerd: 'containerd', 'cri-o': 'CRI-O', podman: 'podman' }[engine]
  if (effect === 'none') return { state: 'in-use', said: `${name} reads these files at each pull: nothing to reload` }
  const running = findRunning(engine, file)
  if (!running) return { state: 'not-running', said: `${name} does not run now; it reads this when it starts` }
  if (effect === 'restart') {
    const said = `${name} (pid ${running.pid}) reads this when it starts: ${restarts[engine]} (containers go on)`
    return { state: 'restart-needed', said }
  }
  try {
    process.kill(running.pid, 'SIGHUP')
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    return { state: 'failed', said: `${name} (pid ${running.pid}) could not be told to read this: ${why}` }
  }
  if (engine !== 'docker') return { state: 'told', said: `${name} (pid ${running.pid}) was told to read this (SIGHUP)` }
  const sockets = socketsOf(running, disk.read(file)).map((socket) => disk.at(socket))
  let mirrors: string[] | undefined
  for (let look = 0; look < looks; look++) {
    mirrors = await mirrorsOfDockerd(sockets)
    if (mirrors === undefined) break
    if (expected === undefined || startsWith(mirrors, expected)) {
      return { state: 'in-use', said: `${name} (pid ${running.pid}) read it (SIGHUP): ${listed(mirrors)}` }
    }
    await Bun.sleep(lookEveryMs)
  }
  if (mirrors === undefined)
    return { state: 'told', said: `${name} (pid ${running.pid}) was told to read this (SIGHUP)` }
  return {
    state: 'failed',
    said: `${name} (pid ${running.pid}) was told to read this and did not take it, its log says why; until then its ${listed(mirrors)}`,
  }
}

function listed(mirrors: readonly string[]): string {
  return mirrors.length === 0 ? 'mirrors: none' : `mirrors: ${mirrors.map((url) => url.replace(/\/$/, '')).join(', ')}`
}
