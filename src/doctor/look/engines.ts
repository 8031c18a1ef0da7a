/** Engines of this host, and what `shoal configure` would change for them. Nothing is written. */
import { Disk } from '../../configure/disk.ts'
import { type Engine, engines, Refusal, usualFile } from '../../configure/plan.ts'
import { findRunning, mirrorsOfDockerd, socketsOf } from '../../configure/running.ts'
import { settingOf } from '../../configure/setting.ts'
import { planOf } from '../../configure/setup.ts'
import type { EngineFacts } from '../engines.ts'

const programs: Record<Engine, string> = {
  docker: 'dockerd',
  containerd: 'containerd',
  podman: 'podman',
  'cri-o': 'crio',
}

export async function lookAtEngines(mirror: string): Promise<EngineFacts[]> {
  const found = await Promise.all(engines.map((engine) => look(engine, mirror)))
  return found.filter((facts) => facts !== undefined)
}

async function look(engine: Engine, mirror: string): Promise<EngineFacts | undefined> {
  const process = findRunning(engine)
  const running = process !== undefined
  if (!running && !Bun.which(programs[engine])) return undefined
  const disk = new Disk('/')
  const none = { engine, running, file: usualFile[engine], changes: [], named: false }
  try {
    const setting = settingOf(engine, undefined, true)
    const { edits } = planOf(setting, disk, { mirrors: [mirror], former: [], registries: [] })
    const host = mirror.replace(/^https?:\/\//, '')
    const inUse =
      engine === 'docker' && process ? await mirrorsOfDockerd(socketsOf(process, disk.read(setting.file))) : undefined
    return {
      engine,
      running,
      file: setting.file,
      changes: edits.map(({ path }) => path),
      named: edits.length === 0 || edits.some(({ before }) => before?.includes(host)),
      ...(inUse ? { inUse } : {}),
    }
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    return { ...none, refusal: error.message.replace(/[;:] nothing was changed.*$/, '') }
  }
}
