/** A node of its own that is sent mutated requests, and what they did to it. */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { FakeRegistry, noise } from '../fakes/registry.ts'
import { LabNode } from '../lab/node.ts'
import { until } from '../lab/until.ts'
import { memoryOf } from '../load/process.ts'
import { id } from './corpus.ts'
import { fuzzedRequest, type Outcome, type Port, send } from './requests.ts'

const ports: Readonly<Record<Port, number>> = { registry: 14880, peer: 14881, admin: 14883 }

export interface Vitals {
  readonly files: number
  readonly memory: number
}

export class FuzzedNode {
  readonly #address: string
  readonly #registry: FakeRegistry
  readonly #node: LabNode

  private constructor(address: string, registry: FakeRegistry, node: LabNode) {
    this.#address = address
    this.#registry = registry
    this.#node = node
  }

  /** @param address of loopback, apart from what other tests listen on */
  static async start(dir: string, address: string): Promise<FuzzedNode> {
    const registry = await FakeRegistry.start()
    registry.image('team/app', 'v1', [noise(1000)])
    const flags = ['--no-mdns', '--only-listed-upstreams', '--upstream', `docker.io=http://${registry.host}`]
    const fuzzed = new FuzzedNode(address, registry, new LabNode({ address, dir: join(dir, 'node'), flags }))
    try {
      await fuzzed.#node.ready()
      return fuzzed
    } catch (error) {
      await fuzzed.close()
      throw error
    }
  }

  /** Sends so many, `atOnce` of them at a time. @throws when the node ends, or stops answering */
  async requests(count: number, seed: number, atOnce: number, patienceMs: number): Promise<Record<Outcome, number>> {
    const outcomes = { answered: 0, closed: 0, waited: 0 }
    const inputs = inputsOf(count, seed)
    const worker = async () => {
      for (const { port, bytes } of inputs) {
        try {
          outcomes[await send(this.#address, ports[port], bytes, patienceMs)]++
        } catch (error) {
          throw new Error(`the ${port} port took no connection: ${(error as Error).message}`, { cause: error })
        }
        if (!this.#node.process.running) throw new Error(`the node ended: ${this.log}`)
      }
    }
    await Promise.all(Array.from({ length: atOnce }, worker))
    return outcomes
  }

  /** It serves an honest client on each port. @throws when it does not */
  async serves(): Promise<void> {
    const said = async (port: Port, path: string, status: number) => {
      const answer = await fetch(`http://${this.#address}:${ports[port]}${path}`, {
        headers: { 'x-shoal-node': id },
        signal: AbortSignal.timeout(5000),
      })
      await answer.arrayBuffer()
      if (answer.status !== status) throw new Error(`${path} on the ${port} port was answered ${answer.status}`)
    }
    await said('admin', '/readyz', 200)
    await said('peer', '/shoal/v1/ping', 204)
    await said('registry', '/v2/team/app/manifests/v1', 200)
  }

  vitals(): Vitals {
    const { pid } = this.#node.process
    return { files: readdirSync(`/proc/${pid}/fd`).length, memory: memoryOf(pid).resident }
  }

  /** Waits until connections that were left half open have been closed. @throws when they are not in time */
  async settled(files: number, seconds: number): Promise<void> {
    await until(`the node has at most ${files} files open`, seconds, () => this.vitals().files <= files)
  }

  /** Errors that it did not expect itself. */
  unexpected(): string[] {
    return this.log.split('\n').filter((line) => line.includes('"level":"error"'))
  }

  get log(): string {
    return this.#node.process.logged()
  }

  async close(): Promise<void> {
    await this.#node.process.stop()
    await this.#registry.stop()
  }
}

/** Made as they are sent: a hundred thousand of them at once would be the growth that is looked for. */
function* inputsOf(count: number, seed: number) {
  const batch = 500
  for (let made = 0; made < count; made += batch) {
    yield* fc.sample(fuzzedRequest, { numRuns: Math.min(batch, count - made), seed: seed + made })
  }
}
