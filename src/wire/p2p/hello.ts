/**
 * `/shoal/hello/1`: how nodes that just met on libp2p tell each other who they are and which schedulers and seeds they
 * know. One message each way. The connection proves the peer id, so a node can introduce itself only.
 */
import type { Connection, Stream } from '@libp2p/interface'
import { lpStream } from '@libp2p/utils'
import { z } from 'zod'
import type { Clock } from '../../clock.ts'
import type { MemberTable } from '../../cluster/member-table.ts'
import { type NodeId, type NodeInfo, nodeInfoSchema, nodeListSchema } from '../../cluster/node-info.ts'
import { Failure } from '../../failure.ts'
import { parseJson } from '../../json.ts'
import type { Log } from '../../telemetry/log.ts'
import type { Others, Seldom } from '../../telemetry/seldom.ts'
import { deadline } from '../deadline.ts'
import { mismatch } from '../encryption.ts'
import { parse } from '../messages.ts'
import { spoken, tooFarApart } from '../protocol.ts'
import { meet } from './twins.ts'

export const helloProtocol = '/shoal/hello/1'
const maxHelloBytes = 512 * 1024
const helloDeadline = 5_000
const mostMembers = 512

const helloSchema = z.object({ node: nodeInfoSchema, members: nodeListSchema(mostMembers) })
type Hello = z.infer<typeof helloSchema>

export interface HelloOptions {
  readonly table: MemberTable
  readonly clock: Clock
  readonly log: Log
  /** Hellos are said again and again, also to nodes that they lead to nothing with. */
  readonly seldom: Seldom
}

/** Answers hellos and says them. What it hears goes into the member table. */
export class Greeter {
  readonly #options: HelloOptions

  constructor(options: HelloOptions) {
    this.#options = options
  }

  /** The other side opened a stream. */
  async answer(stream: Stream, connection: Connection): Promise<void> {
    try {
      await this.#exchange(stream, connection.remotePeer.toString(), async (io) => {
        const theirs = await io.read()
        await io.write(this.#mine())
        return theirs
      })
    } catch (error) {
      stream.abort(error as Error)
      this.#options.log.debug('a hello failed', { from: connection.remotePeer.toString(), error: String(error) })
    }
  }

  /** Says hello over an open connection. @throws {Failure} `unavailable`, `bad-request` */
  async greet(connection: Connection, signal?: AbortSignal): Promise<NodeInfo> {
    const stream = await connection.newStream(helloProtocol, { signal: signal ?? AbortSignal.timeout(helloDeadline) })
    try {
      return await this.#exchange(stream, connection.remotePeer.toString(), async (io) => {
        await io.write(this.#mine())
        return io.read()
      })
    } catch (error) {
      stream.abort(error as Error)
      throw error
    }
  }

  async #exchange(
    stream: Stream,
    remote: string,
    talk: (io: { read(): Promise<Hello>; write(hello: Hello): Promise<void> }) => Promise<Hello>,
  ): Promise<NodeInfo> {
    const { table, clock, log, seldom } = this.#options
    const lp = lpStream(stream, { maxDataLength: maxHelloBytes })
    const theirs = await deadline(clock, helloDeadline, 'the hello took too long', (signal) =>
      talk({
        read: async () => this.#understood(new TextDecoder().decode((await lp.read({ signal })).subarray()), remote),
        write: (hello) => lp.write(new TextEncoder().encode(JSON.stringify(hello)), { signal }),
      }),
    )
    if (theirs.node.id !== remote) {
      throw new Failure('bad-request', `node ${remote} introduced itself as ${theirs.node.id}`)
    }
    void stream.close().catch(() => {})
    const apart =
      tooFarApart(table.self.protocols ?? spoken, theirs.node.protocols) ?? mismatch(table.self, theirs.node)
    if (apart !== undefined) {
      const tell = (others: Others) =>
        log.error('a node of this cluster cannot be spoken with', { node: remote, reason: apart, ...others })
      seldom.tell('apart', tell, remote)
      throw new Failure('unavailable', apart)
    }
    const now = clock.now()
    // Mere peers are known to the schedulers only, or membership would grow with the square of the cluster.
    const concerns = table.self.modes.includes('scheduler') || theirs.node.modes.some((mode) => mode !== 'peer')
    if (concerns) meet(table, theirs.node, now, { log, seldom })
    table.listed(theirs.members, theirs.node.id, now)
    return theirs.node
  }

  /** @throws {Failure} `bad-request` */
  #understood(text: string, node: NodeId): Hello {
    try {
      return parse(helloSchema, parseJson(text))
    } catch (error) {
      const { log, seldom } = this.#options
      const reason = error instanceof Error ? error.message : String(error)
      const told = 'a node of this cluster cannot be understood: it may be of another version'
      seldom.tell('hello', (others) => log.error(told, { node, reason, ...others }), node)
      throw error
    }
  }

  #mine(): Hello {
    const { table } = this.#options
    const members = new Map([...table.withMode('scheduler'), ...table.withMode('seed')].map((info) => [info.id, info]))
    members.delete(table.self.id)
    return { node: table.self, members: [...members.values()].slice(0, mostMembers) }
  }
}
