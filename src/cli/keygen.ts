import { writeFileSync } from 'node:fs'
import type { Command } from 'commander'
import { ClusterKey } from '../cluster/cluster-key.ts'
import type { Context } from './context.ts'
import { CommandError } from './exit.ts'

/** A new pre-shared key, in the form that libp2p keeps such keys in: 256 random bits. */
export function newClusterKey(): string {
  return new TextDecoder().decode(new ClusterKey(crypto.getRandomValues(new Uint8Array(32))).file)
}

/** `shoal keygen` */
export function keygen(program: Command, context: Context): void {
  program
    .command('keygen')
    .description('print a new cluster key, to be given to every node with --cluster-key-file')
    .option('-o, --output <file>', 'write it to a new file that only this user may read')
    .action((options: { output?: string }) => {
      const key = newClusterKey()
      if (options.output === undefined) return context.out(key.trimEnd())
      try {
        writeFileSync(options.output, key, { mode: 0o600, flag: 'wx' })
      } catch (error) {
        const exists = error instanceof Error && 'code' in error && error.code === 'EEXIST'
        if (!exists) throw error
        throw new CommandError(
          `${options.output} is there already; a key that nodes use must not be lost, so choose another name`,
        )
      }
    })
}
