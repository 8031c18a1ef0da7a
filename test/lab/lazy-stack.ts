/** A node, a mounter and a snapshotter in a capsule, as their units have them, for an engine that is put beside them. */
import { join } from 'node:path'
import type { FakeRegistry } from '../fakes/registry.ts'
import type { Capsule } from './capsule.ts'
import { freePort } from './free-port.ts'
import { builtBinary } from './node.ts'
import type { LabProcess } from './process.ts'
import { until } from './until.ts'

/** The commands that run them. */
export type LazyProgram = 'up' | 'mounter' | 'snapshotter'

export class LazyStack {
  /** What engines have as their mirror. */
  readonly mirror: string
  /** Where the snapshotter listens, and looks for containerd. */
  readonly socket: string
  readonly containerd: string
  readonly #capsule: Capsule
  readonly #admin: number
  readonly #flags: Record<LazyProgram, readonly string[]>
  readonly #programs = new Map<LazyProgram, LabProcess>()

  constructor(capsule: Capsule, registry: FakeRegistry) {
    this.#capsule = capsule
    const [port, peer, p2p, admin] = [freePort(), freePort(), freePort(), freePort()]
    this.#admin = admin
    this.mirror = `http://127.0.0.1:${port}`
    this.socket = this.at('s.sock')
    this.containerd = this.at('c.sock')
    this.#flags = {
      up: [
        ...['--data-dir', this.at('node'), '--registry-addr', `127.0.0.1:${port}`, '--peer-addr', `127.0.0.1:${peer}`],
        ...['--p2p-addr', `127.0.0.1:${p2p}`, '--admin-addr', `127.0.0.1:${admin}`, '--no-mdns'],
        ...['--advertise', '127.0.0.1', '--upstream', `${registry.host}=http://${registry.host}`],
      ],
      mounter: ['--socket', this.at('m.sock'), '--data-dir', this.at('mounter')],
      snapshotter: [
        ...['--socket', this.socket, '--data-dir', this.at('snapshots'), '--mounter', this.at('m.sock')],
        ...['--containerd', this.containerd, '--node', `127.0.0.1:${port}`, '--index-wait', '20s'],
      ],
    }
  }

  /** A path in the capsule's folder. */
  at(name: string): string {
    return join(this.#capsule.dir, name)
  }

  async start(): Promise<void> {
    for (const name of ['up', 'mounter', 'snapshotter'] as const) await this.begin(name)
  }

  async begin(name: LazyProgram): Promise<void> {
    // As its unit has it.
    const enclosed = name === 'snapshotter' ? ['setpriv', '--bounding-set', '-all,+chown,+dac_override,+fowner'] : []
    this.#programs.set(name, this.#capsule.spawn(name, [...enclosed, builtBinary, name, ...this.#flags[name]]))
    await until(`${name} is ready`, 20, () => this.#ready(name))
  }

  async kill(name: LazyProgram): Promise<void> {
    await this.#programs.get(name)!.kill()
  }

  /** How many layers the mounter has mounted. */
  async mountedLayers(): Promise<number> {
    const answer = await fetch('http://mounter/v1/layers', { unix: this.at('m.sock') })
    return ((await answer.json()) as { layers: unknown[] }).layers.length
  }

  async #ready(name: LazyProgram): Promise<boolean> {
    try {
      if (name === 'up') return (await fetch(`http://127.0.0.1:${this.#admin}/readyz`)).ok
      if (name === 'mounter') return (await fetch('http://mounter/v1', { unix: this.at('m.sock') })).ok
      const connection = await Bun.connect({ unix: this.socket, socket: { data() {} } })
      connection.end()
      return true
    } catch {
      return false
    }
  }
}
