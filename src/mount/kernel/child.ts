/** Has calls about mounts carried out by a short-lived child of the same binary, within a deadline. */
import { join } from 'node:path'
import { type Call, callCommand, type Outcome, outcomesSchema } from './calls.ts'

/** Mounts wait for the first reads of their file systems, and those for the node. */
const deadlineMs = 60_000

/** What the children run: this very binary also when another has taken its place, or the source with the same runtime. */
export const ownCommand: readonly string[] = import.meta.url.includes('/$bunfs/')
  ? ['/proc/self/exe']
  : [process.execPath, join(import.meta.dir, '../../main.ts')]

/** Where the calls go; a `fuse` descriptor is number 3 there. Outcomes end with the first call that failed. */
export type Carry = (calls: readonly Call[], fuse?: number) => Promise<readonly Outcome[]>

export const inChild: Carry = async (calls, fuse) => {
  const child = Bun.spawn([...ownCommand, callCommand], {
    stdio: [new TextEncoder().encode(JSON.stringify(calls)), 'pipe', 'pipe', ...(fuse === undefined ? [] : [fuse])],
    cwd: '/',
  })
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(() => {
    child.kill('SIGKILL')
    late.reject(
      new Error(`the kernel did not answer within ${deadlineMs / 1000} s; a file system below does not answer`),
    )
  }, deadlineMs)
  try {
    const [out, err, code] = await Promise.race([
      Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text(), child.exited]),
      late.promise,
    ])
    if (code !== 0) throw new Error(err.trim().slice(0, 500) || `the child that mounts ended with ${code}`)
    return outcomesSchema.parse(JSON.parse(out))
  } finally {
    clearTimeout(timer)
    // Also when it hangs: nobody waits for it then.
    child.unref()
  }
}
