/** One host of a lab: a network namespace with one link, `eth0`, shaped in both directions. */
import { resolve } from 'node:path'
import { LabProcess, type SpawnOptions } from './process.ts'
import { type Output, run, tryRun } from './run.ts'

export interface Counters {
  /** Bytes on the wire since the lab began, frame headers included. */
  readonly in: number
  readonly out: number
}

export class Host {
  readonly name: string
  readonly address: string
  /** The network namespace. */
  readonly netns: string
  /** A folder of its own for data and logs, gone when the lab closes. */
  readonly dir: string
  readonly #switchNetns: string
  readonly #port: string
  readonly #processes: LabProcess[] = []

  /** @param port the other end of its link, in the namespace of the switch */
  constructor(name: string, address: string, netns: string, dir: string, switchNetns: string, port: string) {
    this.name = name
    this.address = address
    this.netns = netns
    this.dir = dir
    this.#switchNetns = switchNetns
    this.#port = port
  }

  /** Runs a program on this host. @throws when it exits nonzero */
  exec(command: readonly string[], env?: Record<string, string>): Promise<string> {
    return run(this.inside(command), env)
  }

  tryExec(command: readonly string[], env?: Record<string, string>): Promise<Output> {
    return tryRun(this.inside(command), env)
  }

  /** Starts a program on this host; the lab kills it when it closes. `log` is a path, or a name in this host's folder. */
  spawn(command: readonly string[], options: Partial<SpawnOptions> = {}): LabProcess {
    const log = resolve(this.dir, options.log ?? `${command[0]?.split('/').at(-1)}.log`)
    const process = new LabProcess(this.inside(command), { ...options, log })
    this.#processes.push(process)
    return process
  }

  /** `GET`s a URL from this host: what its admin port says, say. @throws unless the answer is a 2xx */
  get(url: string): Promise<string> {
    return this.exec(['curl', '--silent', '--show-error', '--fail', '--max-time', '10', url])
  }

  /** Sets what its link carries each way (`100mbit`, as tc(8) writes rates); undefined lifts the limit. */
  async shape(rate: string | undefined): Promise<void> {
    await Promise.all([shape(this.netns, 'eth0', rate), shape(this.#switchNetns, this.#port, rate)])
  }

  /** Pulls the cable: no carrier at this host, everything to it is lost. */
  async unplug(): Promise<void> {
    await run(['ip', '-n', this.#switchNetns, 'link', 'set', this.#port, 'down'])
  }

  async plug(): Promise<void> {
    await run(['ip', '-n', this.#switchNetns, 'link', 'set', this.#port, 'up'])
  }

  counters(): Promise<Counters> {
    return countersOf(this.netns, 'eth0')
  }

  async stop(): Promise<void> {
    await Promise.all(this.#processes.map((process) => process.stop(3000)))
  }

  inside(command: readonly string[]): string[] {
    return ['ip', 'netns', 'exec', this.netns, ...command]
  }
}

export async function countersOf(netns: string, device: string): Promise<Counters> {
  const [link] = JSON.parse(await run(['ip', '-n', netns, '-j', '-s', 'link', 'show', device])) as [
    { stats64: { rx: { bytes: number }; tx: { bytes: number } } },
  ]
  return { in: link.stats64.rx.bytes, out: link.stats64.tx.bytes }
}

/**
 * A token bucket whose queue holds 50 ms, like a switch port: long enough for TCP to fill the link, short enough for it
 * to notice congestion soon. The burst is at least one full segmentation-offload packet, and 2 ms of the rate.
 */
export async function shape(netns: string, device: string, rate: string | undefined): Promise<void> {
  if (rate === undefined) {
    // Fails when there is none to delete, which is as good.
    await tryRun(['tc', '-n', netns, 'qdisc', 'del', 'dev', device, 'root'])
    return
  }
  const burst = Math.max(256 * 1024, Math.ceil(bitsPerSecond(rate) / 8 / 500))
  const bucket = ['tbf', 'rate', rate, 'burst', String(burst), 'latency', '50ms']
  await run(['tc', '-n', netns, 'qdisc', 'replace', 'dev', device, 'root', ...bucket])
}

/** `100mbit` as a number. @throws for what tc would not take either */
export function bitsPerSecond(rate: string): number {
  const match = /^([0-9]+(?:\.[0-9]+)?)(k|m|g)?bit$/.exec(rate)
  if (!match) throw new Error(`"${rate}" is not a rate: expected a number and bit, kbit, mbit or gbit`)
  const factor = { k: 1e3, m: 1e6, g: 1e9 }[match[2] ?? ''] ?? 1
  return Number(match[1]) * factor
}
