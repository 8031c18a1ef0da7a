/** Links that are cut, carry one way only, or come and go in the middle of a pull; hosts are namespaces of a lab. */
import { allModes, Cluster } from '../lab/cluster.ts'
import { Lab } from '../lab/lab.ts'
import { until } from '../lab/until.ts'
import { type Fault, must, type Scene, within } from './fault.ts'

const kind = { family: 'network', quick: false, boundSeconds: 300, obstacle: () => Lab.obstacle() } as const

interface Pulling {
  readonly cluster: Cluster
  /** Resolves when every host has the image. @throws with why one has not */
  readonly done: () => Promise<void>
  /** The same for all hosts but one. */
  readonly others: (victim: string) => Promise<void>
}

/** Every host pulls at once, and has a part of the layer already. */
async function midway(scene: Scene, hosts: number, size: number, far: readonly string[] = []): Promise<Pulling> {
  const cluster = await Cluster.create({
    members: allModes(hosts),
    discovery: 'join',
    size,
    rate: '100mbit',
    // Who asked whom when is all there is to tell why a round ended otherwise.
    flags: ['--log-level', 'debug'],
    ...(far.length > 0 ? { far: { members: far, rate: '100mbit' } } : {}),
  })
  scene.undo.defer(() => cluster.close())
  await cluster.start()
  for (const name of cluster.pullers) scene.processes.push(cluster.node(name).process)
  const names = cluster.pullers
  const pulls = names.map((name) => cluster.pull(name))
  // Their ends are looked at later.
  for (const pull of pulls) pull.catch(() => {})
  const part = cluster.layer.size * (0.15 + scene.random() * 0.3)
  await until('the first host has a part of the layer', 60, async () => (await cluster.held(names[0]!)) > part, 20)
  const all = async (which: readonly string[]) => {
    const ends = await within('the pulls', 200, Promise.allSettled(pulls.filter((_, i) => which.includes(names[i]!))))
    for (const end of ends) {
      if (end.status === 'rejected') throw new Error(`a host did not finish: ${String(end.reason).slice(-600)}`)
      must(end.value.digest === cluster.image.digest, `a host has another image: ${end.value.digest}`)
    }
  }
  return {
    cluster,
    done: () => all(names),
    others: (victim) => all(names.filter((name) => name !== victim)),
  }
}

/**
 * How often the source sent the image: what the nodes counted, and what the registry's host put on its link. What its
 * registry handed to the kernel is told too, but not judged: of connections that were cut, up to some megabytes each never
 * leave the host.
 * @throws when more than `most` times
 */
async function sourceShare(cluster: Cluster, most: number): Promise<string> {
  const { image, pullers, lab } = cluster
  const times = (bytes: number) => bytes / image.size
  const left = times((await lab.host('registry').counters()).out)
  const shares = await Promise.all(
    pullers.map(async (name) => times(await cluster.node(name).metric('shoal_source_bytes_total'))),
  )
  const counted = shares.reduce((sum, share) => sum + share, 0)
  const each = pullers.map((name, i) => `${name} ${shares[i]!.toFixed(2)}`).join(', ')
  const kernel = `handed to its kernel ${times(cluster.sent()).toFixed(2)}`
  const told = `the source put the image ${left.toFixed(2)} times on its link (${kernel}), the nodes counted ${counted.toFixed(2)}: ${each}`
  must(Math.max(counted, left) <= most, told)
  return told
}

function split(name: string, half: number, size: number): Fault {
  return {
    ...kind,
    name,
    outcome: 'every host finishes after the network is whole again, and the source sends at most twice',
    round: async (scene) => {
      const far = Array.from({ length: half }, (_, i) => `host${half + i + 1}`)
      const { cluster, done } = await midway(scene, 2 * half, size, far)
      await cluster.lab.cut()
      await Bun.sleep(10_000)
      const healed = performance.now()
      await cluster.lab.heal()
      await done()
      const seconds = ((performance.now() - healed) / 1000).toFixed(1)
      return `${await sourceShare(cluster, 2)}; the last host had it ${seconds} s after the end of the split`
    },
  }
}

const oneWay: Fault = {
  ...kind,
  name: 'link carries one way only',
  obstacle: async () => (await Lab.obstacle()) ?? (Bun.which('iptables') ? undefined : 'iptables is not installed'),
  outcome: 'the other hosts finish meanwhile, and that one when the link is whole',
  round: async (scene) => {
    const { cluster, done, others } = await midway(scene, 4, 20e6)
    const victim = cluster.pullers[Math.floor(scene.random() * 4)]!
    const chain = scene.random() < 0.5 ? 'INPUT' : 'OUTPUT'
    const host = cluster.lab.host(victim)
    await host.exec(['iptables', '-A', chain, chain === 'INPUT' ? '-i' : '-o', 'eth0', '-j', 'DROP'])
    await others(victim)
    await host.exec(['iptables', '-F', chain])
    await done()
    return `${victim} had no ${chain === 'INPUT' ? 'incoming' : 'outgoing'} frames; ${await sourceShare(cluster, 3)}`
  },
}

const flapping: Fault = {
  ...kind,
  name: 'member comes and goes',
  outcome: 'every host finishes, that one too',
  round: async (scene) => {
    const { cluster, done } = await midway(scene, 4, 20e6)
    const victim = cluster.pullers[Math.floor(scene.random() * 4)]!
    const host = cluster.lab.host(victim)
    const times = 6
    for (let time = 0; time < times; time++) {
      await host.unplug()
      await Bun.sleep(300 + scene.random() * 1200)
      await host.plug()
      await Bun.sleep(300 + scene.random() * 1200)
    }
    await done()
    return `${victim} was away ${times} times; ${await sourceShare(cluster, 3)}`
  },
}

export const splitOfTen = split('ten hosts are split into five and five for 10 s', 5, 40e6)

export const networkFaults: readonly Fault[] = [
  split('four hosts are split into two and two for 10 s', 2, 20e6),
  oneWay,
  flapping,
]
