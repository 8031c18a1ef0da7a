/**
 * Where content stores of containerd lie on a host. Everybody who ships containerd has a root of its own; what is said in
 * its config.toml comes first. podman and CRI-O unpack layers and keep no blobs, nor does dockerd with its graph drivers;
 * with containerd's image store dockerd keeps them in the containerd that it uses.
 */
import { statSync } from 'node:fs'
import { basename, join } from 'node:path'
import type { EngineContentSetting } from '../config/settings.ts'
import { imported } from '../configure/containerd.ts'
import { type Files, Refusal } from '../configure/plan.ts'
import { textOf } from '../configure/text.ts'
import { parse, type Values, valueAt } from '../configure/toml.ts'
import { engineBlobs } from '../install/places.ts'

export interface Place {
  /** The folder of blobs. */
  readonly path: string
  /** Why it is not looked into. */
  readonly unused?: string
}

const usual = [
  { config: '/etc/containerd/config.toml', root: '/var/lib/containerd' },
  { config: '/var/lib/rancher/k3s/agent/etc/containerd/config.toml', root: '/var/lib/rancher/k3s/agent/containerd' },
  { config: '/var/lib/rancher/rke2/agent/etc/containerd/config.toml', root: '/var/lib/rancher/rke2/agent/containerd' },
  { config: '/etc/k0s/containerd.toml', root: '/var/lib/k0s/containerd' },
  {
    config: '/var/snap/microk8s/current/args/containerd.toml',
    root: '/var/snap/microk8s/common/var/lib/containerd',
  },
  // dockerd starts this one by itself where it finds no other.
  { config: '/var/run/docker/containerd/containerd.toml', root: '/var/lib/docker/containerd/daemon' },
] as const

const plugin = 'io.containerd.content.v1.content'
/** Where each version of the file says whether layers are thrown away once they are unpacked. */
const discards = [
  ['plugins', 'io.containerd.cri.v1.images', 'discard_unpacked_layers'],
  ['plugins', 'io.containerd.grpc.v1.cri', 'containerd', 'discard_unpacked_layers'],
  ['plugins', 'cri', 'containerd', 'discard_unpacked_layers'],
]

/** A service cannot look into the folders of others, but its unit may show it the blobs elsewhere. */
function open(path: string, look: Look): string {
  const shown = join(engineBlobs, 'sha256')
  return look(path) === 'shut' && look(shown) === 'folder' ? shown : path
}

/** What is at a path: a folder, nothing, or something that this user may not look at. */
export type Look = (path: string) => 'folder' | 'nothing' | 'shut'

export function placesOf(setting: EngineContentSetting, files: Files, look: Look = lookAt): Place[] {
  if (setting === 'off') return []
  if (setting !== 'auto') return [{ path: open(inRoot(setting.dir, look), look) }]
  const places = new Map<string, Place>()
  for (const { config, root } of usual) {
    const said = settingsIn(config, files)
    const path = join(said.root ?? root, plugin, 'blobs', 'sha256')
    if (places.has(path) || look(path) === 'nothing') continue
    const place = { path: open(path, look) }
    places.set(path, said.discards ? { ...place, unused: `${config} has discard_unpacked_layers` } : place)
  }
  return [...places.values()]
}

/**
 * Somebody may name containerd's root, its content store, or the folders of blobs in it; of one that has nothing in it yet
 * the name tells which.
 */
function inRoot(dir: string, look: Look): string {
  const below = [join(plugin, 'blobs', 'sha256'), join('blobs', 'sha256'), 'sha256'].map((path) => join(dir, path))
  const found = below.find((path) => look(path) === 'folder')
  if (found !== undefined) return found
  const [root, store, blobs] = below as [string, string, string]
  const name = basename(dir)
  if (name === 'sha256') return dir
  return name === 'blobs' ? blobs : name === plugin ? store : root
}

function settingsIn(config: string, files: Files): { root?: string; discards: boolean } {
  try {
    const text = files.read(config)
    if (text === undefined) return { discards: false }
    const { values } = parse(textOf(text).body, config)
    const all: Values[] = [values, ...imported(values, config, files).map(([, more]) => more)]
    // What an imported file says comes last, and counts.
    const roots = all.map(({ root }) => root).filter((root) => typeof root === 'string' && root.startsWith('/'))
    const root = roots.at(-1)
    return {
      ...(typeof root === 'string' ? { root } : {}),
      discards: all.some((each) => discards.some((path) => valueAt(each, path) === true)),
    }
  } catch (error) {
    // Not readable by this user, or not TOML: containerd's own root is looked for where it usually is.
    if (error instanceof Refusal) return { discards: false }
    throw error
  }
}

function lookAt(path: string): ReturnType<Look> {
  try {
    return statSync(path, { throwIfNoEntry: false })?.isDirectory() ? 'folder' : 'nothing'
  } catch {
    return 'shut'
  }
}
