/**
 * Hosts that run with one node key, as those do that were cloned with their disk: to the others they are one node that
 * starts anew and anew. Who hears two of them keeps to the one that it took for the later start, answers the other that
 * there are two, and tells operators. Each of them tells where it comes upon the other.
 */
import type { MemberTable } from '../../cluster/member-table.ts'
import type { NodeInfo } from '../../cluster/node-info.ts'
import { Failure } from '../../failure.ts'
import type { Log } from '../../telemetry/log.ts'
import type { Seldom } from '../../telemetry/seldom.ts'

export interface Telling {
  readonly log: Log
  readonly seldom: Seldom
}

const remedy = 'each host needs its own; remove node.key from the data directory of one of the two, and start it again'

/** `node` spoke to this one. @throws {Failure} `bad-request` when it is the twin of a member */
export function meet(table: MemberTable, node: NodeInfo, now: number, { log, seldom }: Telling): void {
  if (table.heard(node, now) !== 'twin') return
  const { id, url } = node
  const other = table.find(id)?.url
  seldom.tell(
    'twins',
    (others) => log.error(`two hosts run with one node key: ${remedy}`, { node: id, url, other, ...others }),
    id,
  )
  throw new Failure('bad-request', `another host, at ${other}, runs with the node key of this one: ${remedy}`)
}

/** This node's key, and where it comes upon another host that has it too. */
export class OwnKey {
  readonly #telling: Telling
  /** libp2p addresses that this process has told the others. */
  readonly #told = new Set<string>()

  constructor(telling: Telling) {
    this.#telling = telling
  }

  /** From now on the others are told that this node is there. */
  at(addresses: readonly string[]): void {
    for (const address of addresses) this.#told.add(address)
  }

  /** Somebody on the local network says that it is this node, and is there. */
  named(addresses: readonly string[]): void {
    if (!addresses.some((address) => this.#told.has(address))) this.#tell(addresses.join(', '))
  }

  /** A host that is not this one has proven that it has the key. @returns what to make of that address */
  met(address: string): Failure {
    this.#tell(address)
    return new Failure('unavailable', 'another host with the node key of this one answers there')
  }

  #tell(at: string): void {
    const { log, seldom } = this.#telling
    seldom.tell('own key', (others) => {
      log.error(`another host runs with the node key of this one: ${remedy}`, { at, ...others })
    })
  }
}
