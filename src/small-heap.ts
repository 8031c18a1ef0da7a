/**
 * How much a node's heap may grow before garbage is collected. The runtime's engine lets it double while it is little
 * beside the memory of the machine, which on a server it always is; a node shares that machine with what it is for. So
 * the engine is told of a machine with less (`scripts/measure-memory`; collecting costs as much up to there, and more
 * with less: `scripts/bench --scenario cost`). It reads that before the program begins, from its environment.
 */
export const countedBytes = 300_000_000

/** JavaScriptCore's option, as Bun takes it. */
const variable = 'BUN_JSC_forceRAMSize'

type Variables = Readonly<Record<string, string | undefined>>

/** The environment to begin in; undefined for one that says already how much counts. Pure. */
export function sparing(variables: Variables): Variables | undefined {
  return variables[variable] === undefined ? { ...variables, [variable]: String(countedBytes) } : undefined
}

/** The same program with the same process number, from its beginning. Goes on where that is not to be had: it only costs memory. */
export function beginSparing(args: readonly string[]): void {
  const variables = sparing(process.env)
  // From the source, the runtime's own flags would be lost.
  if (!variables || !import.meta.url.includes('/$bunfs/')) return
  try {
    process.execve?.(process.execPath, [process.argv0, ...args], variables as NodeJS.ProcessEnv)
  } catch {}
}
