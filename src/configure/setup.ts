/** From what is wanted to a plan, engine by engine, and the way back. Pure: files come through {@link Files}. */
import type { Kept } from './backup.ts'
import { planContainerd } from './containerd.ts'
import { withEmptyList, withMirrors, withoutMirrors } from './docker.ts'
import { withoutHosts } from './hosts-toml.ts'
import { type Edit, type Engine, type Files, type Mirrors, type Plan, Refusal, type Wanted } from './plan.ts'
import { planRegistries, withoutMirrorsOf } from './registries.ts'

/** What is known of the engine that will read the files. */
export interface Setting {
  readonly engine: Engine
  /** Its own configuration: daemon.json, config.toml, or the drop-in of podman and CRI-O. */
  readonly file: string
  /** Flags it runs with; empty when it does not run. */
  readonly flags: readonly string[]
  /** Major version of containerd, where it is known. */
  readonly major?: number
}

/** @throws {Refusal} */
export function planOf(setting: Setting, files: Files, wanted: Wanted): Plan {
  if (setting.engine === 'docker') return planDocker(setting, files, wanted)
  if (setting.engine === 'containerd') return planContainerd(setting, files, wanted)
  const plan = planRegistries(setting.file, files, wanted)
  return { ...plan, effect: effectOf(setting, plan.edits) }
}

function planDocker({ file, flags }: Setting, files: Files, { mirrors, former, registries }: Wanted): Plan {
  if (registries.length > 0) {
    throw new Refusal(
      'dockerd has mirrors for Docker Hub only, so --registry means nothing to it; images of other registries are pulled as localhost:4880/ghcr.io/org/app',
    )
  }
  if (flags.some((flag) => flag.startsWith('--registry-mirror'))) {
    throw new Refusal(
      `dockerd runs with --registry-mirror, and does not start when ${file} has mirrors too; take the flag out of its unit, restart it, and run this again: nothing was changed`,
    )
  }
  const before = files.read(file)
  const edits = changed([{ path: file, before, after: withMirrors(before, file, mirrors, former) }])
  const notes = [
    'dockerd asks mirrors for images of Docker Hub only; others: docker pull localhost:4880/ghcr.io/org/app',
  ]
  return { edits, notes, effect: edits.length > 0 ? 'reload' : 'none' }
}

/** A file without what was put into it, whatever else became of it since. @throws {Refusal} */
export function cleaned(
  engine: Engine,
  path: string,
  text: string,
  mirrors: Mirrors,
  original: string | undefined,
): string {
  if (engine === 'docker') return withoutMirrors(text, path, mirrors, original)
  if (engine !== 'containerd') return withoutMirrorsOf(text, path, mirrors)
  // A config_path stays: folders that are not there are no harm.
  return path.endsWith('/hosts.toml') ? withoutHosts(text, path, mirrors) : text
}

/**
 * Back to what was there. A file that is as it was written becomes its original, byte for byte, and so does one that an undo
 * left in its middle; from one that somebody changed since, only what was put there is taken out, unless `force`.
 */
export function planUndo(
  setting: Setting,
  files: Files,
  kept: readonly Kept[],
  mirrors: Mirrors,
  force: boolean,
): Plan {
  const notes: string[] = []
  const edits = kept.map(({ path, original, ours }) => {
    const before = files.read(path)
    const interrupted = () => setting.engine === 'docker' && before === withEmptyList(original, path)
    if (ours(before) || before === original || force || interrupted()) return { path, before, after: original }
    if (before === undefined) {
      notes.push(`${path} was removed since, and stays so`)
      return { path, before, after: undefined }
    }
    notes.push(`${path} was changed since: only what was put there is taken out (--force puts back the file as it was)`)
    return { path, before, after: cleaned(setting.engine, path, before, mirrors, original) }
  })
  const differing = changed(edits)
  return { edits: differing, notes, effect: effectOf(setting, differing) }
}

function effectOf({ engine, file }: Setting, edits: readonly Edit[]): Plan['effect'] {
  if (edits.length === 0 || engine === 'podman') return 'none'
  if (engine === 'containerd') return edits.some(({ path }) => path === file) ? 'restart' : 'none'
  return 'reload'
}

function changed(edits: readonly Edit[]): Edit[] {
  return edits.filter(({ before, after }) => before !== after)
}
