/** Runs scenarios, each some times, one after the other: nothing else may want the machine while one measures. */
import type { Arrangement } from '../../test/lab/race.ts'
import type { Contender, Figure, Scenario, Shape } from './scenario.ts'
import { type Summary, summarize } from './statistics.ts'

export interface RunnerOptions {
  readonly runs: number
  readonly quick: boolean
  /** What was asked to be otherwise. */
  readonly shape: Partial<Shape>
  readonly arrangement: Arrangement | undefined
  readonly compare: ReadonlySet<Contender>
}

export interface Result {
  readonly scenario: string
  readonly title: string
  readonly against: string
  readonly shape: Shape
  /** Measured in the shape that its reach is for. */
  readonly asDefined: boolean
  readonly runs: number
  readonly seconds: number
  readonly figures: readonly Summary[]
  /** Why it ended early; figures are those of the runs before. */
  readonly failed?: string
}

export async function measure(
  scenario: Scenario,
  options: RunnerOptions,
  say: (text: string) => void,
): Promise<Result> {
  const { name, title, against } = scenario
  const shape = { ...scenario.shape, ...(options.quick ? scenario.quick : {}), ...options.shape }
  const { arrangement, compare } = options
  const start = performance.now()
  const done: (readonly Figure[])[] = []
  let failed: string | undefined
  try {
    for (let seed = 1; seed <= options.runs; seed++) {
      say(`${name}, run ${seed} of ${options.runs}: ${title}`)
      done.push(
        await scenario.run({ shape, arrangement, compare, seed, say: (text) => say(text.replaceAll(/^/gm, '  ')) }),
      )
    }
  } catch (error) {
    failed = error instanceof Error ? error.message : String(error)
    say(`  FAILED: ${failed}`)
  }
  return {
    scenario: name,
    title,
    against,
    shape,
    asDefined: arrangement === undefined && Bun.deepEquals(shape, scenario.shape),
    runs: done.length,
    seconds: (performance.now() - start) / 1000,
    figures: summarize(done),
    ...(failed === undefined ? {} : { failed }),
  }
}
