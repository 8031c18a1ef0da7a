/**
 * What pointing an engine at a node comes to, worked out before anything is touched: files as they are in, files as
 * they shall be out. Planners see the host through {@link Files} alone, so a table of texts is a host to them.
 */

/** The engines that can be configured; podman and CRI-O read the same files. */
export const engines = ['docker', 'containerd', 'podman', 'cri-o'] as const
export type Engine = (typeof engines)[number]

/** What each reads unless it is told otherwise; of podman and CRI-O, the file that is theirs and nobody else's. */
export const usualFile: Record<Engine, string> = {
  docker: '/etc/docker/daemon.json',
  containerd: '/etc/containerd/config.toml',
  podman: '/etc/containers/registries.conf.d/shoal.conf',
  'cri-o': '/etc/containers/registries.conf.d/shoal.conf',
}

/** A configuration is not touched, and why; the message says what to do about it. */
export class Refusal extends Error {
  override readonly name = 'Refusal'
}

/** The host's files as they are. */
export interface Files {
  /** The whole text, its byte order mark included; undefined if there is no such file. @throws {Refusal} */
  read(path: string): string | undefined
  /** Names in a folder, sorted; none if there is no such folder. */
  list(path: string): string[]
}

export interface Edit {
  readonly path: string
  /** Undefined: there was no such file. */
  readonly before: string | undefined
  /** Undefined: there shall be none. */
  readonly after: string | undefined
}

/** In the order in which an engine shall ask them: the node of this host, then perhaps another one. URLs. */
export type Mirrors = readonly string[]

export interface Wanted {
  readonly mirrors: Mirrors
  /** What an earlier run put there; goes where it is no longer wanted. */
  readonly former: Mirrors
  /** Registries to have mirrored, by name; empty: the usual ones of that engine. */
  readonly registries: readonly string[]
}

export interface Plan {
  /** Only files that change. */
  readonly edits: readonly Edit[]
  /** Sentences for whoever reads the plan. */
  readonly notes: readonly string[]
  /** What the engine needs in order to know. */
  readonly effect: 'reload' | 'restart' | 'none'
}

/** The same place, however it is written: `http://LOCALHOST:4880/` is `http://127.0.0.1:4880`. */
export function sameMirror(one: string, other: string): boolean {
  return plain(one) === plain(other)
}

/** `list` without what is in `taken`. */
export function without(list: readonly string[], taken: readonly string[]): string[] {
  return list.filter((item) => !taken.some((other) => sameMirror(item, other)))
}

function plain(url: string): string {
  return url
    .toLowerCase()
    .replace(/\/+$/, '')
    .replace(/^(https?:\/\/)localhost(?=[:/]|$)/, '$1127.0.0.1')
}
