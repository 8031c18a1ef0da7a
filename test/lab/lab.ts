/**
 * Hosts on one machine: network namespaces around a bridge (in a namespace too, so that the machine's own network is
 * not touched), each with an address, a loopback and a link shaped both ways. Needs root. Everything is removed on
 * `close`, at exit and on SIGINT or SIGTERM; what a killed run left behind is removed by the next one.
 */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Counters, countersOf, Host, shape } from './host.ts'
import { run, tryRun } from './run.ts'

export interface LabInit {
  /** How many, or their names. */
  readonly hosts: number | readonly string[]
  /** What each host's link carries each way, as tc(8) writes it (`100mbit`). Default: no limit. */
  readonly rate?: string
  /** Hosts on a switch of their own, and what the one link between the two switches carries each way. */
  readonly far?: { readonly hosts: readonly string[]; readonly rate: string }
}

/** One folder per living lab, named by its id, holding the pid of the process it belongs to. */
const register = '/run/shoal-lab'

/** Many copies of an image do not fit where /tmp is memory. */
export const scratchRoot = process.env.TMPDIR ?? '/var/tmp'

export class Lab {
  readonly id: string
  readonly hosts: readonly Host[]
  readonly dir: string
  #closed: Promise<void> | undefined
  readonly #onExit = () => removeNow(this.id, this.dir)
  readonly #onSignal = (signal: NodeJS.Signals) => {
    this.#onExit()
    process.exit(signal === 'SIGINT' ? 130 : 143)
  }

  private constructor(id: string, dir: string, hosts: readonly Host[]) {
    this.id = id
    this.dir = dir
    this.hosts = hosts
    process.on('exit', this.#onExit)
    process.on('SIGINT', this.#onSignal)
    process.on('SIGTERM', this.#onSignal)
  }

  /** Undefined when labs can be made here, else why not. */
  static async obstacle(): Promise<string | undefined> {
    if (process.getuid?.() !== 0) return 'not root'
    for (const program of ['ip', 'tc', 'curl']) {
      if (!Bun.which(program)) return `${program} is not installed`
    }
    const probe = `shoal-probe-${process.pid}`
    const made = await tryRun(['ip', 'netns', 'add', probe])
    const shaped =
      made.code === 0
        ? await tryRun([
            'tc',
            '-n',
            probe,
            'qdisc',
            'add',
            'dev',
            'lo',
            'root',
            'tbf',
            ...'rate 1gbit burst 64k latency 50ms'.split(' '),
          ])
        : made
    await tryRun(['ip', 'netns', 'del', probe])
    if (made.code !== 0) return `network namespaces cannot be made: ${made.stderr.trim()}`
    if (shaped.code !== 0) return `links cannot be shaped: ${shaped.stderr.trim()}`
  }

  static async create(init: LabInit): Promise<Lab> {
    await removeLeftovers()
    const names =
      typeof init.hosts === 'number' ? Array.from({ length: init.hosts }, (_, i) => `h${i + 1}`) : init.hosts
    if (names.length < 1 || names.length > 250) throw new Error(`a lab has 1 to 250 hosts, not ${names.length}`)
    const id = Math.floor(Math.random() * 36 ** 5)
      .toString(36)
      .padStart(5, '0')
    mkdirSync(join(register, id), { recursive: true })
    writeFileSync(join(register, id, 'pid'), String(process.pid))
    const dir = mkdtempSync(join(scratchRoot, `shoal-${id}-`))
    writeFileSync(join(register, id, 'dir'), dir)
    const hosts = names.map((name, i) => {
      const folder = join(dir, name)
      mkdirSync(folder)
      return new Host(name, `10.77.7.${i + 1}`, `shoal-${id}-${name}`, folder, switchOf(id), `p${i + 1}`)
    })
    const lab = new Lab(id, dir, hosts)
    try {
      await makeSwitch(id, 'br0')
      if (init.far) await makeFarSwitch(id, init.far.rate)
      // One after the other: namespaces are made under a lock of the kernel anyway.
      for (const [i, host] of hosts.entries()) {
        await makeHost(host, switchOf(id), `p${i + 1}`, init.far?.hosts.includes(host.name) ? 'br1' : 'br0')
        if (init.rate !== undefined) await host.shape(init.rate)
      }
    } catch (error) {
      await lab.close()
      throw error
    }
    return lab
  }

  host(name: string): Host {
    const found = this.hosts.find((host) => host.name === name)
    if (!found) throw new Error(`no host "${name}" in this lab: ${this.hosts.map((host) => host.name).join(', ')}`)
    return found
  }

  counters(host: Host): Promise<Counters> {
    return host.counters()
  }

  /** What crossed the link between the two switches: `in` to the far hosts, `out` from them. */
  crossed(): Promise<Counters> {
    return countersOf(switchOf(this.id), farLink)
  }

  /** Cuts the link between the two switches. */
  async cut(): Promise<void> {
    await run(['ip', '-n', switchOf(this.id), 'link', 'set', farLink, 'down'])
  }

  async heal(): Promise<void> {
    await run(['ip', '-n', switchOf(this.id), 'link', 'set', farLink, 'up'])
  }

  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    await Promise.all(this.hosts.map((host) => host.stop()))
    process.off('exit', this.#onExit)
    process.off('SIGINT', this.#onSignal)
    process.off('SIGTERM', this.#onSignal)
    removeNow(this.id, this.dir)
  }
}

const switchOf = (id: string) => `shoal-${id}-net`

async function makeSwitch(id: string, bridge: string): Promise<void> {
  const netns = switchOf(id)
  if (bridge === 'br0') await run(['ip', 'netns', 'add', netns])
  // Without a multicast querier a snooping bridge drops the groups mDNS needs.
  await run(['ip', '-n', netns, 'link', 'add', bridge, 'type', 'bridge', 'mcast_snooping', '0', 'forward_delay', '0'])
  await run(['ip', '-n', netns, 'link', 'set', bridge, 'up'])
  // Where dockerd has loaded br_netfilter, bridged packets would pass through iptables.
  const key = 'net.bridge.bridge-nf-call-iptables'
  await tryRun(['ip', 'netns', 'exec', netns, 'sysctl', '-qw', `${key}=0`])
}

/** The far switch's end of the link between the two. */
const farLink = 'trunk1'

async function makeFarSwitch(id: string, rate: string): Promise<void> {
  const netns = switchOf(id)
  await makeSwitch(id, 'br1')
  await run(['ip', '-n', netns, 'link', 'add', 'trunk0', 'type', 'veth', 'peer', 'name', farLink])
  for (const [end, bridge] of [
    ['trunk0', 'br0'],
    [farLink, 'br1'],
  ] as const) {
    await run(['ip', '-n', netns, 'link', 'set', end, 'master', bridge, 'up'])
    await shape(netns, end, rate)
  }
}

async function makeHost(host: Host, switchNetns: string, port: string, bridge: string): Promise<void> {
  const inHost = (...args: string[]) => run(['ip', '-n', host.netns, ...args])
  await run(['ip', 'netns', 'add', host.netns])
  await run(['ip', '-n', switchNetns, 'link', 'add', port, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', host.netns])
  await run(['ip', '-n', switchNetns, 'link', 'set', port, 'master', bridge, 'up'])
  await inHost('link', 'set', 'lo', 'up')
  await inHost('address', 'add', `${host.address}/24`, 'broadcast', '+', 'dev', 'eth0')
  await inHost('link', 'set', 'eth0', 'up')
  await inHost('route', 'add', '224.0.0.0/4', 'dev', 'eth0')
  // A network card cuts large sends into frames by itself; here each frame is work for the same few cores that run all
  // the hosts, and many slow streams would be cut into the smallest of them.
  await tryRun(['ip', 'netns', 'exec', host.netns, 'sysctl', '-qw', 'net.ipv4.tcp_min_tso_segs=16'])
}

/** Ends every process in the lab's namespaces and removes them. Synchronous, because it also runs at exit. */
function removeNow(id: string, dir: string): void {
  for (const name of namespacesOf(id)) {
    const pids = Bun.spawnSync(['ip', 'netns', 'pids', name]).stdout.toString().split('\n').filter(Boolean)
    for (const pid of pids) {
      try {
        process.kill(Number(pid), 'SIGKILL')
      } catch {
        // Gone already.
      }
    }
    Bun.spawnSync(['ip', 'netns', 'del', name])
  }
  rmSync(dir, { recursive: true, force: true })
  rmSync(join(register, id), { recursive: true, force: true })
}

function namespacesOf(id: string): string[] {
  return existsSync('/run/netns') ? readdirSync('/run/netns').filter((name) => name.startsWith(`shoal-${id}-`)) : []
}

/** Labs whose process was killed before it could clean up. */
async function removeLeftovers(): Promise<void> {
  if (!existsSync(register)) return
  for (const id of readdirSync(register)) {
    const read = (name: string) => {
      const path = join(register, id, name)
      return existsSync(path) ? readFileSync(path, 'utf8') : ''
    }
    const pid = Number(read('pid'))
    if (pid > 0 && !existsSync(`/proc/${pid}`)) removeNow(id, read('dir') || join(register, id))
  }
}
