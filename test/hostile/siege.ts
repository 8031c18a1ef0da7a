/** Many nuisances at one node at once, and how long it held on to each of them. */
import { Client, type Nuisance, type Port } from './clients.ts'
import { heldAt } from './held.ts'

const ports: Readonly<Record<Port, number>> = { registry: 14880, peer: 14881, p2p: 14882, admin: 14883 }
const everyMs = 500
/** Nobody is held any more when nobody was for so long: a connection may be taken late. */
const quietSeconds = 12

interface Besieger {
  readonly client: Client
  /** When it came, and when the node last held it, in seconds since the siege began. */
  readonly came: number
  held: number
}

export class Siege {
  readonly #address: string
  readonly #besiegers: Besieger[] = []
  readonly #begun = performance.now()

  constructor(address: string) {
    this.#address = address
  }

  async add(nuisance: Nuisance, count: number): Promise<void> {
    for (let i = 0; i < count; i++) {
      const client = await Client.open(this.#address, ports[nuisance.port], nuisance)
      this.#besiegers.push({ client, came: this.seconds, held: 0 })
    }
  }

  get seconds(): number {
    return (performance.now() - this.#begun) / 1000
  }

  /** Resolves when the node has let go of all of them, or after `most` seconds. `each` is called at every look. */
  async over(most: number, each: () => void): Promise<void> {
    const last = () => Math.max(...this.#besiegers.map(({ held }) => held))
    while (this.seconds < most && this.seconds - last() < quietSeconds) {
      this.#look()
      each()
      await Bun.sleep(everyMs)
    }
  }

  /** Those that were held for longer than they may be, in words. */
  late(): string[] {
    return [...this.longest()]
      .filter(([{ goneAfter }, held]) => held > goneAfter)
      .map(([{ port, what, goneAfter }, held]) => `who ${what} at the ${port} port: ${held} s, not ${goneAfter}`)
  }

  /** For each nuisance, how long one was held at most, in seconds. */
  longest(): Map<Nuisance, number> {
    const longest = new Map<Nuisance, number>()
    for (const { client, came, held } of this.#besiegers) {
      longest.set(client.nuisance, Math.max(longest.get(client.nuisance) ?? 0, Math.round(held - came)))
    }
    return longest
  }

  close(): void {
    for (const { client } of this.#besiegers) client.close()
  }

  #look(): void {
    const now = this.seconds
    const held = new Map(Object.entries(ports).map(([name, port]) => [name, heldAt(this.#address, port)]))
    for (const besieger of this.#besiegers) {
      const { nuisance, localPort } = besieger.client
      if (held.get(nuisance.port)?.has(localPort)) besieger.held = now
    }
  }
}
