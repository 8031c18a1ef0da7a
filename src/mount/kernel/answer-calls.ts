/** What a child answers to one line of calls. */
import { callsSchema, type Outcome } from './calls.ts'
import { carryOut } from './carry-out.ts'

/** Stops at the first mount that fails, for others are made on it; the outcomes are those of the calls that were made. */
export function answerCalls(line: string): string {
  const outcomes: Outcome[] = []
  for (const call of callsSchema.parse(JSON.parse(line))) {
    const outcome = carryOut(call)
    outcomes.push(outcome)
    if (outcome.errno !== 0 && call.do === 'mount') break
  }
  return JSON.stringify(outcomes)
}
