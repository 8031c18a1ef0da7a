/**
 * A registry may be at several places: mirrors of each other, or a cache before the registry itself. The first that works
 * is asked. Which do is learnt from requests; those that do not are asked for `/v2/` from time to time, until they answer.
 * What is asked for by its digest is the same everywhere, so that one that does not have it is no reason to give up.
 *
 * A registry that is at one place is none of this: there is nothing to choose.
 */
import type { Clock } from '../clock.ts'
import { Failure, type FailureCode } from '../failure.ts'
import type { Log } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { afterAnswer, afterCheck, afterFault, type Circuit, type Fault, orderOf, working } from './circuit.ts'
import type { Upstream } from './upstreams.ts'

export interface EndpointsOptions {
  readonly clock: Clock
  readonly log: Log
  readonly metrics: Partial<Pick<Metrics, 'endpointUp' | 'endpointFailures' | 'endpointBytes'>>
  /** Whether it says that it is a registry. Never throws. */
  readonly check: (upstream: Upstream) => Promise<boolean>
}

/** For people: what becomes of one endpoint. */
export interface EndpointFacts {
  readonly url: string
  readonly state: Circuit['state']
  /** Clock ms since which it is not up. */
  readonly since?: number
  readonly reason?: string
}

interface Known {
  circuit: Circuit
  /** A request tries it now. */
  tried: boolean
  reason?: string
  cancel: () => void
}

const missing: ReadonlySet<FailureCode> = new Set(['no-manifest', 'no-blob', 'no-name'])
/** What another endpoint may do better. */
const faults: ReadonlySet<FailureCode> = new Set(['unavailable', 'too-many', 'corrupt'])

export class Endpoints {
  readonly #o: EndpointsOptions
  /** By base: only those that have a choice. */
  readonly #known = new Map<string, Known>()

  constructor(options: EndpointsOptions) {
    this.#o = options
  }

  /**
   * What `ask` gives at the first endpoint that has it. `anywhere`: it is the same wherever it is; `avoid`: bases of those
   * that have failed at this already, which come after others that work.
   * @throws {Failure} what the endpoints say; one that is worth another try where there is one
   */
  async first<T>(
    all: readonly Upstream[],
    { anywhere = false, avoid }: { anywhere?: boolean; avoid?: ReadonlySet<string> | undefined },
    ask: (upstream: Upstream, more: boolean) => Promise<T>,
  ): Promise<T> {
    if (all.length === 1) return ask(all[0]!, false)
    const order = orderOf(all, (each) => ({ ...this.#of(each), avoid: avoid?.has(each.base) ?? false }))
    const failures: Failure[] = []
    for (const [i, upstream] of order.entries()) {
      const more = i + 1 < order.length
      try {
        return await this.#ask(upstream, () => ask(upstream, more))
      } catch (error) {
        const failure = Failure.from(error)
        const goesOn = faults.has(failure.code) || (anywhere && missing.has(failure.code))
        if (!goesOn) throw error
        failures.push(failure)
      }
    }
    throw failures.find(({ code }) => !missing.has(code)) ?? failures[0]!
  }

  /** A body that it sent was not to the end, or not what it was to be. */
  broke(upstream: Upstream, failure: Failure): void {
    this.#failed(upstream, 'erring', failure.message)
  }

  received(upstream: Upstream, bytes: number): void {
    if (!this.#known.has(upstream.base)) return
    this.#o.metrics.endpointBytes?.inc({ source: upstream.registry, endpoint: upstream.base }, bytes)
  }

  facts(all: readonly Upstream[]): EndpointFacts[] {
    return all.map((upstream) => {
      const { circuit, reason } = this.#known.get(upstream.base) ?? { circuit: working, reason: undefined }
      return {
        url: upstream.base,
        state: circuit.state,
        ...(circuit.state === 'up' ? {} : { since: circuit.since, ...(reason === undefined ? {} : { reason }) }),
      }
    })
  }

  /** These are all that there are from now on; what is known of them stays. */
  keep(registries: readonly (readonly Upstream[])[]): void {
    const there = new Set(registries.flat().map(({ base }) => base))
    for (const [base, known] of this.#known) {
      if (there.has(base)) continue
      known.cancel()
      this.#known.delete(base)
    }
    this.#o.metrics.endpointUp?.reset()
    for (const upstream of registries.flat()) this.#show(upstream, this.#of(upstream).circuit)
  }

  close(): void {
    for (const { cancel } of this.#known.values()) cancel()
  }

  async #ask<T>(upstream: Upstream, ask: () => Promise<T>): Promise<T> {
    const known = this.#of(upstream)
    const tries = known.circuit.state === 'trying' && !known.tried
    if (tries) known.tried = true
    try {
      const answer = await ask()
      this.#answered(upstream)
      return answer
    } catch (error) {
      const { code, message, detail } = Failure.from(error)
      if (faults.has(code))
        this.#failed(upstream, code === 'unavailable' && !('status' in detail) ? 'silent' : 'erring', message)
      else if (code !== 'cancelled') this.#answered(upstream)
      throw error
    } finally {
      if (tries) known.tried = false
    }
  }

  #answered(upstream: Upstream): void {
    const known = this.#of(upstream)
    const was = known.circuit.state
    this.#become(upstream, afterAnswer())
    if (was !== 'up') this.#o.log.info('an endpoint of a registry is in use again', endpointOf(upstream))
  }

  #failed(upstream: Upstream, fault: Fault, reason: string): void {
    const known = this.#known.get(upstream.base)
    if (!known) return
    this.#o.metrics.endpointFailures?.inc({ source: upstream.registry, endpoint: upstream.base })
    const was = known.circuit.state
    known.reason = reason
    this.#become(upstream, afterFault(known.circuit, fault, this.#o.clock.now()))
    if (was === 'up' && this.#of(upstream).circuit.state === 'down') {
      this.#o.log.warn('an endpoint of a registry is out of use; others are asked', { ...endpointOf(upstream), reason })
    }
  }

  #become(upstream: Upstream, circuit: Circuit): void {
    const known = this.#of(upstream)
    if (known.circuit === circuit) return
    known.circuit = circuit
    this.#show(upstream, circuit)
    known.cancel()
    const { clock, check } = this.#o
    if (circuit.state !== 'down') return
    known.cancel = clock.after(circuit.until - clock.now(), async () => {
      const answers = await check(upstream)
      if (known.circuit === circuit) this.#become(upstream, afterCheck(circuit, answers, clock.now()))
    })
  }

  #show({ registry: source, base: endpoint }: Upstream, { state }: Circuit): void {
    this.#o.metrics.endpointUp?.set({ source, endpoint }, state === 'up' ? 1 : 0)
  }

  #of({ base }: Upstream): Known {
    const known = this.#known.get(base) ?? { circuit: working, tried: false, cancel: () => {} }
    this.#known.set(base, known)
    return known
  }
}

function endpointOf({ registry, base }: Upstream) {
  return { registry, endpoint: base }
}
