/** `shoal doctor`: looks at this host and its node, changes nothing, and says what to mend. */
import type { Command } from 'commander'
import { renderFindings } from '../doctor/text.ts'
import type { Context, ExitCode } from './context.ts'
import { addFlags } from './flags.ts'

/** `shoal doctor` */
export function doctor(program: Command, context: Context, done: (code: ExitCode) => void): void {
  const command = program
    .command('doctor')
    .description("check this host's setup, its node and its cluster, and say what to mend")
    .option('--token-file <file>', 'bearer token of the admin port')
    .option('--json', 'as JSON')
    .addHelpText('after', '\nFlags of "shoal up" say which settings are meant, as a node would be started with them.')
  addFlags(command).action(async (options: { json?: boolean }) => {
    // Loaded when it is needed: other commands should not wait for all that can be looked at.
    const { findingsOn } = await import('./doctor-facts.ts')
    const findings = await findingsOn(command, context)
    const healthy = findings.every(({ level }) => level !== 'problem')
    context.out(options.json ? JSON.stringify({ healthy, findings }, null, 2) : renderFindings(findings))
    done(healthy ? 0 : 1)
  })
}
