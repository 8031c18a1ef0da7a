import { Argument, type Command, InvalidArgumentError } from 'commander'
import { type LogLevelFacts, logLevelSchema } from '../admin/view.ts'
import { duration } from '../config/values.ts'
import { logLevels } from '../telemetry/log.ts'
import { addClientFlags, clientOf } from './client-flags.ts'
import type { Context } from './context.ts'

/** `shoal log-level` */
export function logLevel(program: Command, context: Context): void {
  const command = program
    .command('log-level')
    .description(`change what a node that runs logs: ${logLevels.join(', ')}; without a level: say what it is`)
    .addArgument(new Argument('[level]').choices(logLevels))
  addClientFlags(command)
    .option(
      '--for <time>',
      'how long, such as 10m (default: until the node reads its settings again, or ends)',
      checked,
    )
    .option('--json', 'as JSON, as the API has it')
    .action(async (level: string | undefined, options: { for?: string; json?: boolean }) => {
      if (level === undefined && options.for !== undefined) {
        command.error('shoal: --for wants a level: shoal log-level debug --for 10m')
      }
      const client = clientOf(command, context)
      const query = new URLSearchParams({ level: level ?? '', ...(options.for ? { for: options.for } : {}) })
      const facts = level
        ? await client.put(`/api/v1/log-level?${query}`, logLevelSchema)
        : await client.get('/api/v1/log-level', logLevelSchema)
      context.out(options.json ? JSON.stringify(facts, null, 2) : render(facts))
    })
}

function checked(text: string): string {
  if (duration.safeParse(text).data) return text
  throw new InvalidArgumentError('Expected a duration such as 90s or 10m.')
}

function render({ level, configured, until }: LogLevelFacts): string {
  if (until !== undefined) return `${level} until ${until}, then ${configured}`
  return level === configured ? level : `${level} (by its settings: ${configured})`
}
