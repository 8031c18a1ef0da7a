import type { Command } from 'commander'
import { buildInfo } from '../build-info.ts'
import type { Context } from './context.ts'

/** `shoal version` */
export function version(program: Command, context: Context): void {
  program
    .command('version')
    .description('print version, commit and build date')
    .option('--json', 'as JSON')
    .action((options: { json?: boolean }) => {
      context.out(
        options.json
          ? JSON.stringify(buildInfo)
          : `shoal ${buildInfo.version}, commit ${buildInfo.commit}, built ${buildInfo.date}, bun ${buildInfo.bun}`,
      )
    })
}
