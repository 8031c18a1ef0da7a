import type { Command } from 'commander'
import type { Context } from './context.ts'

/** The hidden command that the mounter starts for a layer without an index: strangers' bytes stay outside of its process. */
export function unpackLayer(program: Command, context: Context): void {
  program
    .command('unpack-layer <data> <index>', { hidden: true })
    .description('unpack the layer on standard input into one file and write an index of it to another')
    .option('--media-type <type>', 'of the layer', 'application/octet-stream')
    .option('--algorithm <name>', "of the layer's digest: sha256 or sha512", 'sha256')
    .action(async (data: string, index: string, options: { mediaType: string; algorithm: string }) => {
      const { unpackFile } = await import('../mount/unpacked/unpack-file.ts')
      context.out(JSON.stringify(await unpackFile(Bun.stdin.stream(), data, index, options)))
    })
}
