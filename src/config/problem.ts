/** Wrong settings, all of them at once: nobody likes to mend a file one error at a time. */
import { closestMatch } from 'leven'

export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  /** One sentence each: where it was said, what it was, what is expected. */
  readonly problems: readonly string[]

  constructor(problems: readonly string[]) {
    super(problems.join('\n'))
    this.problems = problems
  }
}

/** `; did you mean "x"?`, or where the names are listed when none is near. */
export function hint(word: string, candidates: readonly string[]): string {
  // A third of the letters: `cahce-size` finds its way, `foo` does not become `zone`.
  const near = closestMatch(word, candidates, { maxDistance: Math.max(1, Math.floor(word.length / 3)) })
  return near ? `; did you mean ${near}?` : '; `shoal up --help` lists what there is'
}

/** Text as it was given, in quotes, without the password of a URL. */
export function quote(text: string): string {
  const short = text.length > 160 ? `${text.slice(0, 160)}...` : text
  return `"${short.replace(/\/\/[^/\s]*@/g, '//[redacted]@')}"`
}

/** Why a file could not be read, without the name of a system call. */
export function whyUnreadable(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  const words: Record<string, string> = {
    ENOENT: 'there is no such file',
    EACCES: 'this user may not read it',
    EISDIR: 'it is a directory',
  }
  return words[code] ?? (error instanceof Error ? error.message : String(error))
}

/** Gathers problems from steps that each may throw some. */
export class Problems {
  readonly #found: string[] = []

  /** What `step` returns; undefined if it threw a {@link ConfigError}, whose problems are then kept. */
  collect<T>(step: () => T): T | undefined {
    try {
      return step()
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error
      this.#found.push(...error.problems)
      return undefined
    }
  }

  add(problem: string): void {
    this.#found.push(problem)
  }

  /** @throws {ConfigError} if there are any */
  throw(): void {
    if (this.#found.length > 0) throw new ConfigError([...new Set(this.#found)])
  }
}
