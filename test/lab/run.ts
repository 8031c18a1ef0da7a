/** Runs a program of the host to its end. */

export interface Output {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

export async function tryRun(command: readonly string[], env: Record<string, string> = {}): Promise<Output> {
  const child = Bun.spawn([...command], {
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
    env: { ...process.env, ...env },
  })
  const [stdout, stderr, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ])
  return { code, stdout, stderr }
}

/** Its stdout. @throws when it exits nonzero, with the command and what it said. */
export async function run(command: readonly string[], env: Record<string, string> = {}): Promise<string> {
  const { code, stdout, stderr } = await tryRun(command, env)
  if (code === 0) return stdout
  throw new Error(`${command.join(' ')} exited with ${code}: ${(stderr || stdout).trim().slice(-2000)}`)
}
