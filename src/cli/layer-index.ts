import type { Command } from 'commander'
import type { Context } from './context.ts'

/** The hidden command that a node starts for each layer: what strangers packed is unpacked outside of its process. */
export function layerIndex(program: Command, context: Context): void {
  program
    .command('layer-index <file> <out>', { hidden: true })
    .description('write the index of the layer in a file to another, and say as lines of JSON how that goes')
    .action(async (file: string, out: string) => {
      const { indexFile } = await import('../layer-index/index-file.ts')
      await indexFile(file, out, (line) => context.out(JSON.stringify(line)))
    })
}
