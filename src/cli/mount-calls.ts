import type { Command } from 'commander'
import { callCommand } from '../mount/kernel/calls.ts'
import type { Context } from './context.ts'

/** The hidden command that the mounter starts for its mounts: it may hang where the mounter must not. */
export function mountCalls(program: Command, context: Context): void {
  program
    .command(callCommand, { hidden: true })
    .description('carry out mount calls: a line of JSON on standard output for each on standard input')
    .action(async () => {
      const { answerCalls } = await import('../mount/kernel/answer-calls.ts')
      for await (const line of console) if (line !== '') context.out(answerCalls(line))
    })
}
