/**
 * One image, brought to the hosts of a cluster by one contender after the other, on the same links in the same run. The
 * first is always one plain stream, which the others are measured by.
 */
import { Cluster, type ClusterInit } from '../../test/lab/cluster.ts'
import type { Counters } from '../../test/lab/host.ts'
import type { Pulled } from '../../test/lab/pull.ts'
import { until } from '../../test/lab/until.ts'
import { obstacle, Torrent } from './bittorrent.ts'
import type { Heat, Lap } from './laps.ts'
import { atRest, busySince, cpuSeconds, cpuSecondsByThread, load, type ThreadTime, type Work } from './machine.ts'
import { perHost } from './per-host.ts'
import type { Contender, Run } from './scenario.ts'

/** Somebody else's work on the machine is not waited for longer. */
const restSeconds = 40

export interface Course {
  readonly cluster: ClusterInit
  /** Whose plain stream is the limit. Default: that of the first host that counts. */
  readonly limit?: string
  /** How long after the common start a host begins, in milliseconds. Default 0. */
  readonly delay?: (host: string) => number
  /** Hosts that are waited for and measured; the others pull too. Default: all. */
  readonly counts?: (host: string) => boolean
  /** What happens while hosts pull through shoal. */
  readonly meanwhile?: (cluster: Cluster, plainSeconds: number) => Promise<void>
}

export interface Outcome {
  readonly plainSeconds: number
  readonly heats: ReadonlyMap<Contender, Heat>
  /** Bytes of content that the registry sent while hosts pulled through shoal, as a multiple of the image. */
  readonly sourceShare: number
  /** What crossed the link to the far hosts in each heat, where there are such. */
  readonly crossed: ReadonlyMap<Contender, Counters>
}

/** @throws when a host does not get the image, or gets another one */
export async function contest(course: Course, { compare, say }: Pick<Run, 'compare' | 'say'>): Promise<Outcome> {
  const cluster = await Cluster.create(course.cluster)
  try {
    const running = new Contest(course, cluster, say)
    await running.plain()
    if (compare.has('many')) await running.many()
    if (compare.has('bittorrent')) await running.bittorrent()
    if (compare.has('shoal')) await running.shoal()
    return running
  } finally {
    await cluster.close()
  }
}

/** What a heat is charged with. */
interface Account {
  readonly pids: () => readonly number[]
  /** Bytes that have come to all hosts. */
  readonly received: () => Promise<number>
  /** They are nodes, whose threads have names. */
  readonly byWork?: boolean
}

class Contest implements Outcome {
  plainSeconds = 0
  sourceShare = 0
  readonly heats = new Map<Contender, Heat>()
  readonly crossed = new Map<Contender, Counters>()
  readonly #course: Course
  readonly #cluster: Cluster
  readonly #counts: (host: string) => boolean
  readonly #say: (text: string) => void

  constructor(course: Course, cluster: Cluster, say: (text: string) => void) {
    this.#course = course
    this.#cluster = cluster
    this.#counts = course.counts ?? (() => true)
    this.#say = say
  }

  async plain(): Promise<void> {
    const host = this.#course.limit ?? this.#cluster.pullers.find(this.#counts)
    if (host === undefined) throw new Error('no host is left whose time would count')
    this.plainSeconds = (await this.#cluster.plain(host)).seconds
    this.#say(`one plain stream: ${this.plainSeconds.toFixed(1)} s`)
  }

  async many(): Promise<void> {
    await this.#heat('many', async (host, at) => this.#lapOf(host, await this.#cluster.plain(host, at)))
  }

  async bittorrent(): Promise<void> {
    const reason = await obstacle()
    if (reason !== undefined) return this.#say(`no comparison with BitTorrent: ${reason}`)
    const torrent = await Torrent.start(this.#cluster)
    const account = { pids: () => torrent.pids, received: async () => torrent.received }
    await this.#heat('bittorrent', (host, at) => torrent.fetch(host, at), account)
    await torrent.close()
  }

  async shoal(): Promise<void> {
    const cluster = this.#cluster
    await cluster.start()
    // Hosts run their node since they were booted; here all of them have just compiled it on the same cores.
    await atRest(restSeconds)
    const before = cluster.sent()
    const received = async () =>
      (await cluster.total('shoal_peer_received_bytes_total')) + (await cluster.total('shoal_source_bytes_total'))
    const account = { pids: () => cluster.running.map(({ process }) => process.pid), received, byWork: true }
    await this.#heat('shoal', async (host, at) => this.#lapOf(host, await cluster.pull(host, at)), account)
    this.#say(await perHost(cluster, this.heats.get('shoal')?.laps ?? []))
    // Requests are logged a moment after they end, and a seed may still be reading its last bytes.
    const read = await cluster.total('shoal_source_bytes_total')
    await until('the registry has logged what it sent', 10, () => cluster.sent() - before >= read)
    this.sourceShare = (cluster.sent() - before) / cluster.image.size
  }

  async #heat(contender: Contender, lap: (host: string, at: number) => Promise<Lap>, account?: Account): Promise<void> {
    const { pullers, lab } = this.#cluster
    const { delay, far } = { ...this.#course, ...this.#course.cluster }
    const crossed = far ? await lab.crossed() : undefined
    // Programs that start take their time of the cores, so none of them begins before all are there.
    const start = Date.now() + 1000 + 150 * pullers.length
    const laps: Promise<Lap>[] = []
    for (const host of pullers) {
      const running = lap(host, start + (delay?.(host) ?? 0))
      // Who does not count ends with the lab, whatever it has by then. Others fail below, where all are waited for.
      running.catch(() => {})
      if (this.#counts(host)) laps.push(running)
    }
    await Bun.sleep(start - Date.now())
    const cost = account && (await charge(account))
    const idle = load()
    const meanwhile = contender === 'shoal' ? this.#course.meanwhile?.(this.#cluster, this.plainSeconds) : undefined
    // Waited for below; until then its failure has nobody to go to.
    meanwhile?.catch(() => {})
    const done = await Promise.all(laps)
    const busy = busySince(idle)
    await meanwhile
    this.heats.set(contender, { laps: done, busy, ...(cost ? { cost: await cost() } : {}) })
    if (crossed) {
      const now = await lab.crossed()
      this.crossed.set(contender, { in: now.in - crossed.in, out: now.out - crossed.out })
    }
    const slowest = Math.max(...done.map(({ began, ended }) => ended - began)) / 1000
    this.#say(`${contender}, ${pullers.length} hosts: slowest ${slowest.toFixed(1)} s`)
  }

  #lapOf(host: string, { digest, began, seconds, cpuSeconds }: Pulled): Lap {
    if (digest !== this.#cluster.image.digest) throw new Error(`${host} got ${digest}, which is another image`)
    return { host, began, ended: began + seconds * 1000, clientCpuSeconds: cpuSeconds }
  }
}

/** Starts to count; what it returns ends that. A process that was killed meanwhile is not charged for. */
async function charge({ pids, received, byWork }: Account): Promise<() => Promise<NonNullable<Heat['cost']>>> {
  const taken = new Map(pids().map((pid) => [pid, cpuSeconds(pid)]))
  const worked = new Map(byWork ? pids().map((pid) => [pid, cpuSecondsByThread(pid)]) : [])
  const had = await received()
  return async () => ({
    cpuSeconds: pids().reduce((sum, pid) => sum + cpuSeconds(pid) - (taken.get(pid) ?? 0), 0),
    ...(byWork ? { byWork: total(pids().map((pid) => [cpuSecondsByThread(pid), worked.get(pid)])) } : {}),
    bytes: (await received()) - had,
  })
}

/** A thread that ended meanwhile took its time with it: it is not charged for, and takes nothing from the others. */
function total(
  nodes: readonly (readonly [Map<string, ThreadTime>, Map<string, ThreadTime> | undefined])[],
): Map<Work, number> {
  const sum = new Map<Work, number>()
  for (const [now, before] of nodes) {
    for (const [tid, { work, seconds }] of now) {
      sum.set(work, (sum.get(work) ?? 0) + seconds - (before?.get(tid)?.seconds ?? 0))
    }
  }
  return sum
}
