import type { Command } from 'commander'
import type { FileOptions } from '../layer-index/index-file.ts'
import type { Context } from './context.ts'

/** The hidden command that a node starts for each layer: what strangers packed is unpacked outside of its process. */
export function layerIndex(program: Command, context: Context): void {
  program
    .command('layer-index <layer> <index>', { hidden: true })
    .description('write the index of the layer in a file to another, and say as lines of JSON how that goes')
    .option('--check', 'say whether the index that is there is that of the layer')
    .option('--media-type <type>', 'of the layer', 'application/octet-stream')
    .option('--algorithm <name>', "of the layer's digest: sha256 or sha512", 'sha256')
    .action(async (layer: string, index: string, options: FileOptions) => {
      const { indexFile } = await import('../layer-index/index-file.ts')
      await indexFile(layer, index, options, (line) => context.out(JSON.stringify(line)))
    })
}
