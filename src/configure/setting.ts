/** What planning needs to know of an engine and cannot read from its files. */
import { Disk } from './disk.ts'
import { type Engine, engines, Refusal, usualFile } from './plan.ts'
import { fileOf, findRunning } from './running.ts'
import type { Setting } from './setup.ts'

/** `named` is what the operator named; `running`: whether the host's own engine is meant. @throws {Refusal} */
export function settingOf(engine: Engine, named: string | undefined, running: boolean): Setting {
  const process = running ? findRunning(engine, named) : undefined
  const file = named ?? fileOf(engine, process) ?? usualFile[engine]
  if (/\/rancher\//.test(file)) {
    throw new Refusal(`${file} is made anew by k3s at each start; mirrors belong in /etc/rancher/k3s/registries.yaml`)
  }
  const major = engine === 'containerd' ? versionOf() : undefined
  return { engine, file, flags: process?.args ?? [], ...(major === undefined ? {} : { major }) }
}

/** Major version of the containerd that is installed. */
function versionOf(): number | undefined {
  try {
    const { stdout } = Bun.spawnSync(['containerd', '--version'], { stderr: 'ignore' })
    const major = /\bv?(\d+)\.\d+\.\d+/.exec(stdout.toString())?.[1]
    return major === undefined ? undefined : Number(major)
  } catch {
    return undefined
  }
}

/** Engines of which originals are kept. Those of podman are CRI-O's too, and CRI-O has to be told. */
export function configuredEngines(root: string, backups: string): Engine[] {
  const folders = new Disk(root).list(backups)
  const podman: Engine = findRunning('cri-o') ? 'cri-o' : 'podman'
  return engines.filter((engine) => folders.includes(engine)).map((engine) => (engine === 'podman' ? podman : engine))
}
