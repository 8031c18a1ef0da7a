import type { Command } from 'commander'
import { type ReplicationFacts, replicationSchema } from '../admin/replication.ts'
import { largestUnits } from '../span.ts'
import { addClientFlags, clientOf } from './client-flags.ts'
import type { Context } from './context.ts'

/** `shoal replication` */
export function replication(program: Command, context: Context): void {
  const command = program
    .command('replication')
    .description('what a seed copies to other clusters, and what of it is not there yet')
  addClientFlags(command)
    .option('--json', 'as JSON, as the API has it')
    .action(async (options: { json?: boolean }) => {
      const facts = await clientOf(command, context).get('/api/v1/replication', replicationSchema)
      context.out(options.json ? JSON.stringify(facts, null, 2) : render(facts))
    })
}

function render({ rules }: ReplicationFacts): string {
  if (rules.length === 0)
    return 'this node copies nothing to others; a --replicate of `shoal up` names what, and to whom'
  return rules.map(ruleText).join('\n')
}

function ruleText({
  pattern,
  target,
  deletes,
  waiting,
  lagSeconds,
  oldest,
}: ReplicationFacts['rules'][number]): string {
  const what = `${pattern} to ${target}${deletes ? ', with deletions' : ''}`
  if (waiting === 0) return `${what}: everything is there`
  const lines = oldest.map(({ what, tries, lastError }) =>
    tries === 0 ? `  ${what}` : `  ${what}  tried ${tries} ${tries === 1 ? 'time' : 'times'}: ${lastError ?? ''}`,
  )
  const more = waiting - oldest.length
  return [
    `${what}: ${waiting} ${waiting === 1 ? 'waits' : 'wait'}, the oldest for ${span(lagSeconds)}`,
    ...lines,
    ...(more > 0 ? [`  and ${more} more`] : []),
  ].join('\n')
}

function span(seconds: number): string {
  return largestUnits(seconds)
    .map(([count, unit]) => `${count}${unit}`)
    .join(' ')
}
