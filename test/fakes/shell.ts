/** A fake node's admin port, and what the commands that are given to it print. */
import { createAdmin, serveAdmin } from '../../src/admin/admin.ts'
import { run } from '../../src/cli/program.ts'
import { formatAddress } from '../../src/listen.ts'
import { silentLog } from '../../src/telemetry/log.ts'
import { createMetrics } from '../../src/telemetry/metrics.ts'
import { FakeClock } from './clock.ts'
import { FakeContext } from './context.ts'
import { FakeNodeView } from './node-view.ts'

export class FakeShell {
  readonly view = new FakeNodeView()
  /** Of the command under way. */
  clock = new FakeClock()
  readonly #server = serveAdmin(createAdmin(this.view, createMetrics(), { log: silentLog }), {
    host: '127.0.0.1',
    port: 0,
  })

  async shoal(command: string, ...args: string[]): Promise<{ code: number; out: string; err: string }> {
    const context = new FakeContext()
    this.clock = context.clock
    const code = await run([command, '--admin-addr', formatAddress(this.#server.address), ...args], context)
    return { code, out: context.printed.join('\n'), err: context.complained.join('\n') }
  }

  close(): Promise<unknown> {
    return this.#server.close()
  }
}
