/** Which engines can be tried on this machine. */
import { Lab } from '../lab.ts'

/** Undefined when all of `programs` can run on hosts of a lab; else why not, which is also printed. */
export async function engineObstacle(what: string, programs: readonly string[]): Promise<string | undefined> {
  const missing = [...programs, 'docker-registry', 'skopeo'].filter((program) => !Bun.which(program))
  const obstacle = missing.length > 0 ? `not installed: ${missing.join(', ')}` : await Lab.obstacle()
  if (obstacle !== undefined) console.log(`skipped: ${what}: ${obstacle}`)
  return obstacle
}
