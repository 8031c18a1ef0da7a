/**
 * Calls between nodes that belong to one part of a node each: a part says what its call looks like, answers it with
 * {@link Calls.on}, and makes it with `Outbound.call`. What holds for every call on the peer port holds for these too:
 * admitted first, capped in size and time, a refusal is a {@link Failure}.
 */
import type { z } from 'zod'
import type { NodeId } from '../cluster/node-info.ts'
import { Failure } from '../failure.ts'
import { parse } from './messages.ts'

export interface Call<Q extends object, A extends object> {
  /** One word: it is at `/shoal/v1/<name>`. */
  readonly name: string
  readonly request: z.ZodType<Q>
  readonly reply: z.ZodType<A>
  /** For an answer that others have to be asked for; the usual one unless given. */
  readonly deadlineMs?: number
}

export const callPath = (name: string) => `/shoal/v1/${name}`

interface Answering {
  readonly request: z.ZodType<object>
  readonly answer: (request: object, sender: NodeId | undefined) => Promise<object>
}

/** What this node answers. A call that it does not know is refused, as by a node of an older release. */
export class Calls {
  readonly #known = new Map<string, Answering>()

  on<Q extends object, A extends object>(
    { name, request }: Call<Q, A>,
    answer: (request: Q, sender: NodeId | undefined) => Promise<A>,
  ): void {
    if (this.#known.has(name)) throw new Error(`two parts answer the call ${name}`)
    this.#known.set(name, { request, answer: (value, sender) => answer(value as Q, sender) })
  }

  knows(name: string): boolean {
    return this.#known.has(name)
  }

  /** `sender`: who asks; without a cluster key, only what it says of itself. @throws {Failure} `bad-request` */
  async answer(name: string, value: unknown, sender?: NodeId): Promise<object> {
    const known = this.#known.get(name)
    if (!known) throw new Failure('bad-request', 'this node does not know that call')
    return known.answer(parse(known.request, value), sender)
  }
}
