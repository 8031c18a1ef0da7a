import { type Command, InvalidArgumentError } from 'commander'
import prettyBytes from 'pretty-bytes'
import { type PinFacts, pinsSchema } from '../admin/view.ts'
import { lifetime } from '../config/values.ts'
import { addClientFlags, clientOf } from './client-flags.ts'
import type { Context } from './context.ts'

/** `shoal pin` */
export function pin(program: Command, context: Context): void {
  const command = program
    .command('pin [name]')
    .description('keep an image or a blob that is on the node from eviction; without a name: list what is kept')
  addClientFlags(command)
    .option('--for <time>', 'how long, such as 7d (default: until it is unpinned)', checked)
    .option('--json', 'as JSON, as the API has it')
    .action(async (name: string | undefined, options: { for?: string; json?: boolean }) => {
      if (name === undefined && options.for !== undefined) {
        command.error(`shoal: --for wants a name: shoal pin ghcr.io/org/app:v1 --for ${options.for}`)
      }
      const client = clientOf(command, context)
      const query = options.for === undefined ? '' : `?for=${options.for}`
      const { pins } = name
        ? await client.put(`${pathOf(name)}${query}`, pinsSchema)
        : await client.get('/api/v1/pins', pinsSchema)
      context.out(options.json ? JSON.stringify({ pins }, null, 2) : render(pins))
    })
}

/** `shoal unpin` */
export function unpin(program: Command, context: Context): void {
  const command = program.command('unpin <name>').description('let eviction have what was pinned by that name')
  addClientFlags(command).action(async (name: string) => {
    await clientOf(command, context).delete(pathOf(name))
    context.out(`unpinned ${name}`)
  })
}

function pathOf(name: string): string {
  return `/api/v1/blobs/${encodeURIComponent(name)}/pin`
}

function checked(text: string): string {
  if (lifetime.safeParse(text).success) return text
  throw new InvalidArgumentError('Expected a duration of a minute or more, such as 24h or 7d.')
}

function render(pins: readonly PinFacts[]): string {
  if (pins.length === 0) return 'nothing is pinned'
  return pins
    .map(({ name, until, blobs, bytes, missing }) => {
      const left = missing > 0 ? `, ${missing} of them not here yet` : ''
      return `${name}  ${until ? `until ${until}` : 'until it is unpinned'}: ${blobs} ${blobs === 1 ? 'blob' : 'blobs'}${left}, ${prettyBytes(bytes, { binary: true })}`
    })
    .join('\n')
}
