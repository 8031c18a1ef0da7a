/**
 * Reads a CPU profile as runtimes write it (the format of the DevTools' profiler domain): which of the program's concepts
 * the time went into. Pure.
 */

export interface CpuProfile {
  readonly nodes: readonly ProfileNode[]
  /** Ids of nodes: where the thread was, each time that it was looked at and not idle. */
  readonly samples: readonly number[]
  /** Microseconds since the sample before; the first since `startTime`. */
  readonly timeDeltas: readonly number[]
  /** Microseconds since 1970. */
  readonly startTime: number
}

export interface ProfileNode {
  readonly id: number
  readonly callFrame: { readonly functionName: string; readonly url: string }
  readonly children?: readonly number[]
}

/** From the innermost frame outwards: the function, and its file, `` for what is native. */
type Stack = readonly { readonly name: string; readonly file: string }[]

const work: readonly (readonly [what: string, native: RegExp, within: RegExp])[] = [
  ['SHA-256', /^(update|digest|hash)$/, /^src\/(piece|store|oci)\//],
  ['reading and writing files', /^(readCb|writeCb|read|write|open|fsync|fdatasync|close)$/, /^src\/store\//],
  ['SQLite', /^(run|all|get|exec)$/, /^src\/(state|store)\//],
]

const libp2p = /^npm:(@(libp2p|chainsafe|noble|multiformats)\/|multicast-dns|multiformats)/

/** What a sample is counted as: some native work, or the innermost file of the program or of a package that is on the stack. */
export function conceptOf(stack: Stack): string {
  const own = stack.findIndex(({ file }) => file.startsWith('src/') || file.startsWith('npm:'))
  if (own < 0) return 'the runtime by itself'
  const { file } = stack[own]!
  const native = stack.slice(0, own).map(({ name }) => name)
  for (const [what, names, within] of work) {
    if (within.test(file) && native.some((name) => names.test(name))) return what
  }
  if (libp2p.test(file)) return 'libp2p, and what it brings'
  const [, folder] = /^(src\/[^/]+)\//.exec(file) ?? []
  return folder ?? file
}

/** How many samples of that time (ms since 1970) are of what, the most first. */
export function samplesByConcept(profile: CpuProfile, from: number, to: number): Map<string, number> {
  const nodes = new Map(profile.nodes.map((node) => [node.id, node]))
  const parents = new Map(
    profile.nodes.flatMap(({ id, children = [] }) => children.map((child) => [child, id] as const)),
  )
  const concepts = new Map<number, string>()
  const conceptAt = (id: number): string => {
    let concept = concepts.get(id)
    if (concept === undefined) {
      const stack = []
      for (let at: number | undefined = id; at !== undefined; at = parents.get(at)) {
        const { functionName, url } = nodes.get(at)?.callFrame ?? { functionName: '', url: '' }
        stack.push({ name: functionName, file: fileOf(url) })
      }
      concept = conceptOf(stack)
      concepts.set(id, concept)
    }
    return concept
  }
  const counts = new Map<string, number>()
  let at = profile.startTime / 1000
  for (const [i, sample] of profile.samples.entries()) {
    at += profile.timeDeltas[i]! / 1000
    if (at < from || at > to) continue
    const concept = conceptAt(sample)
    counts.set(concept, (counts.get(concept) ?? 0) + 1)
  }
  return counts
}

/** `src/wire/session.ts` for a file of the program, `npm:hono` for one of a package. */
export function fileOf(url: string): string {
  const [, name] = /node_modules\/((?:@[^/]+\/)?[^/]+)\/(?!.*node_modules)/.exec(url) ?? []
  if (name !== undefined) return `npm:${name}`
  const own = url.lastIndexOf('/src/')
  return own < 0 ? '' : url.slice(own + 1)
}
