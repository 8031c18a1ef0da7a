/**
 * Tells the node on this host what is mounted: soon while something changes, now and then else, and once more when nothing is
 * left. A node that is not there is asked again; nothing waits for it.
 */
import { type Clock, every } from '../../clock.ts'
import type { Told } from '../../lazy/mounted.ts'
import type { Log } from '../../telemetry/log.ts'

/** While something changes, ms. */
const soonMs = 2000
/** Else: the node forgets what it has not heard of for three times as long. */
const seldomMs = 30_000
const patienceMs = 5000

/** What a node was told last. */
export interface Last {
  readonly text: string
  readonly at: number
}

/** Whether it is to be told now. Pure. */
export function due(text: string, last: Last | undefined, now: number): boolean {
  return last === undefined || text !== last.text || now - last.at >= seldomMs
}

export interface TellingInit {
  /** By origin of the node's registry port. */
  readonly reports: () => ReadonlyMap<string, Told>
  /** For a node that has nothing mounted any more. */
  readonly nothing: () => Told
  /** @returns the status. @throws when no node is there */
  readonly put: (node: string, text: string, signal: AbortSignal) => Promise<number>
  readonly clock: Clock
  readonly log: Log
}

export class Telling {
  readonly #o: TellingInit
  readonly #last = new Map<string, Last>()
  readonly #refused = new Map<string, number>()
  readonly #stop: () => void
  #telling: Promise<void> | undefined

  constructor(init: TellingInit) {
    this.#o = init
    this.#stop = every(init.clock, soonMs, () => void this.tell())
  }

  /** Tells those for whom it is time. Never throws. */
  tell(): Promise<void> {
    this.#telling ??= this.#round().finally(() => {
      this.#telling = undefined
    })
    return this.#telling
  }

  /** Tells what is left, and nothing after that. */
  async close(): Promise<void> {
    this.#stop()
    await this.#telling
    await this.#round()
  }

  async #round(): Promise<void> {
    const reports = this.#o.reports()
    const gone = [...this.#last.keys()].filter((node) => !reports.has(node))
    await Promise.all([
      ...[...reports].map(([node, told]) => this.#tell(node, told)),
      // Only once: a node that is not there when nothing is left forgets by itself.
      ...gone.map(async (node) => {
        await this.#tell(node, this.#o.nothing())
        this.#last.delete(node)
        this.#refused.delete(node)
      }),
    ])
  }

  async #tell(node: string, told: Told): Promise<void> {
    const { put, clock, log } = this.#o
    const text = JSON.stringify(told)
    if (!due(text, this.#last.get(node), clock.now())) return
    const patience = new AbortController()
    const cancel = clock.after(patienceMs, () => patience.abort())
    try {
      const status = await Promise.race([put(node, text, patience.signal), abortOf(patience.signal)])
      // What it does not take now it will not take in two seconds either.
      this.#last.set(node, { text, at: clock.now() })
      if (status < 300) this.#refused.delete(node)
      else if (this.#refused.get(node) !== status) {
        this.#refused.set(node, status)
        log.info('the node does not take what is mounted; its status does not show it', { node, status })
      }
    } catch {
      // No node is there now. What it was told before it may not know any more.
      if (this.#last.has(node)) this.#last.set(node, { text: '', at: 0 })
    } finally {
      cancel()
    }
  }
}

function abortOf(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true }))
}

/** `PUT /v2/_shoal/mounts` of the node. */
export async function putMounts(node: string, body: string, signal: AbortSignal): Promise<number> {
  const answer = await fetch(`${node.replace(/\/+$/, '')}/v2/_shoal/mounts`, {
    method: 'PUT',
    body,
    headers: { 'content-type': 'application/json', 'user-agent': 'shoal-mounter' },
    redirect: 'error',
    proxy: false,
    signal,
  })
  await answer.body?.cancel()
  return answer.status
}
