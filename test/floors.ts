/**
 * The order of the floors, lowest first, and a reader of imports that finds what points upward or sideways. Entries are
 * folders and files directly below `src`.
 */
export const floors: readonly (readonly string[])[] = [
  [
    'failure.ts',
    'clock.ts',
    'build-info.ts',
    'c-library.ts',
    'fair-line.ts',
    'first-there.ts',
    'printable.ts',
    'small-heap.ts',
    'json.ts',
    'lru.ts',
    'shared-reading.ts',
    'span.ts',
    'turns.ts',
  ],
  [
    'aside.ts',
    'hardening.ts',
    'notify.ts',
    'oci',
    'tar',
    'telemetry',
    'listen.ts',
    'meter.ts',
    'rate.ts',
    'terminal-lines.ts',
    'write-ahead.ts',
    'zran',
  ],
  ['config', 'piece', 'erofs', 'file-limit.ts', 'fuse'],
  ['store', 'cluster', 'install', 'layer-index'],
  ['source', 'wire', 'configure', 'get', 'kubernetes', 'local', 'state'],
  ['swarm', 'scheduler', 'rights', 'home'],
  ['content', 'engine'],
  ['preheat', 'push', 'replicate', 'keep', 'lazy'],
  ['registry', 'admin', 'harbor', 'mount'],
  ['ui', 'snapshotter'],
  ['tracing', 'doctor'],
  ['node'],
  ['cli'],
  ['main.ts'],
]

/** Static and dynamic imports, re-exports and type imports. */
const importPattern =
  /^\s*(?:import|export)\b[^'"`;]*?\bfrom\s*['"]([^'"\n]+)['"]|^\s*import\s*['"]([^'"\n]+)['"]|\bimport\s*\(\s*['"]([^'"\n]+)['"]/gm

export function importsOf(text: string): string[] {
  return [...text.matchAll(importPattern)].map((match) => match[1] ?? match[2] ?? match[3] ?? '')
}

const bundled: Record<string, readonly string[]> = {
  'build-info.ts': ['../package.json'],
  'install/bundled.ts': [
    '../../scripts/install.sh',
    '../../systemd/shoal-mounter.service',
    '../../systemd/shoal-snapshotter.service',
    '../../systemd/shoal.service',
  ],
}

/** What is wrong with the imports of one file; `path` is relative to `src`. */
export function violations(path: string, text: string): string[] {
  const from = unitOf(path)
  const floor = floorOf(from)
  if (floor < 0) return [`${path}: ${from} has no floor; give it one in test/floors.ts`]
  const isTest = /\.test\.tsx?$/.test(path)
  return importsOf(text).flatMap((specifier) => {
    if (!specifier.startsWith('.')) return []
    const target = resolve(path, specifier)
    if (target === undefined) {
      // Outside src lie the fakes, for tests only, and files that are part of the binary as they are.
      const allowed = isTest || (bundled[path]?.includes(specifier) ?? false)
      return allowed ? [] : [`${path}: imports ${specifier}, which is outside src`]
    }
    const to = unitOf(target)
    if (to === from) return []
    const below = floorOf(to)
    if (below < 0) return [`${path}: imports ${specifier}, and ${to} has no floor; give it one in test/floors.ts`]
    if (below < floor) return []
    return [`${path}: imports ${specifier}, ${below > floor ? 'upward' : 'sideways'} from ${from} to ${to}`]
  })
}

function unitOf(path: string): string {
  return (path.split('/')[0] ?? path).replace(/\.test\.tsx?$/, '.ts')
}

function floorOf(unit: string): number {
  return floors.findIndex((units) => units.includes(unit))
}

/** The imported path relative to `src`, or undefined when it leaves it. */
function resolve(importer: string, specifier: string): string | undefined {
  const parts = importer.split('/').slice(0, -1)
  for (const part of specifier.split('/')) {
    if (part === '.' || part === '') continue
    if (part !== '..') parts.push(part)
    else if (parts.pop() === undefined) return undefined
  }
  return parts.join('/')
}
