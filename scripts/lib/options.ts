/** What the measuring scripts share: options checked with the flag in the message, and exit codes as the binary has them. */
import { bitsPerSecond } from '../../test/lab/host.ts'

/** @throws unless `text` is a whole number of that span */
export function within(text: string, flag: string, least: number, most: number): number {
  const value = Number(text)
  if (Number.isInteger(value) && value >= least && value <= most) return value
  throw new UsageError(`${flag} takes a whole number from ${least} to ${most}, not "${text}"`)
}

/** @throws unless `text` is one of the words */
export function choice<T extends string>(text: string, flag: string, words: readonly T[]): T {
  const found = words.find((word) => word === text)
  if (found) return found
  throw new UsageError(`${flag} takes ${words.join(', ')}, not "${text}"`)
}

/** @throws unless `text` is a rate as tc(8) writes it */
export function rate(text: string, flag: string): string {
  try {
    bitsPerSecond(text)
    return text
  } catch (error) {
    throw new UsageError(`${flag}: ${(error as Error).message}`)
  }
}

class UsageError extends Error {}

/** Runs a script's body and ends the process: 0 done, 1 failed, 2 wrong usage. */
export async function failing(name: string, help: string, body: (args: string[]) => Promise<void>): Promise<never> {
  const args = process.argv.slice(2)
  if (args.includes('--help') || args.includes('-h')) {
    console.log(help)
    process.exit(0)
  }
  try {
    await body(args)
    process.exit(0)
  } catch (error) {
    console.error(`${name}: ${error instanceof Error ? error.message : error}`)
    // What node:util's parseArgs throws has a code of this kind.
    const usage = error instanceof UsageError || /^ERR_PARSE_ARGS/.test(codeOf(error))
    if (usage) console.error(help)
    process.exit(usage ? 2 : 1)
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : ''
}
