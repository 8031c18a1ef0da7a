/** When each host had the image, and what figures come of that. */
import type { Contender, Figure, Reach } from './scenario.ts'

/** One host's way to the image; times are milliseconds since 1970. */
export interface Lap {
  readonly host: string
  readonly began: number
  readonly ended: number
  /** What the program took that the image was brought for. */
  readonly clientCpuSeconds?: number
}

/** All hosts' laps by one contender, and what they cost. */
export interface Heat {
  readonly laps: readonly Lap[]
  /** Bytes that came to all hosts, and what was taken of the cores for that by nodes; absent where there are none. */
  readonly cost?: {
    readonly bytes: number
    readonly cpuSeconds: number
    /** The same by what it was taken for, where that can be told. */
    readonly byWork?: ReadonlyMap<string, number>
  }
  /** Share of the machine's cores that was at work meanwhile, by anybody. */
  readonly busy: number
}

export const secondsOf = ({ began, ended }: Lap): number => (ended - began) / 1000

/** From the start of the one that started last. */
export function afterLastStart(laps: readonly Lap[]): number[] {
  const last = Math.max(...laps.map(({ began }) => began))
  return laps.map(({ ended }) => (ended - last) / 1000)
}

/** What contenders are called in figures. */
export const words: Record<Contender, string> = {
  plain: 'one plain stream',
  many: 'all plainly',
  bittorrent: 'BitTorrent',
  shoal: 'shoal',
}

export interface Judging {
  readonly plainSeconds: number
  /** For shoal's slowest host. */
  readonly reach?: Reach
  /** What of the laps is measured. Default: each from its own start. */
  readonly seconds?: (laps: readonly Lap[]) => readonly number[]
}

export function heatFigures(heats: ReadonlyMap<Contender, Heat>, judging: Judging): Figure[] {
  const { plainSeconds, reach, seconds = (laps) => laps.map(secondsOf) } = judging
  const figures: Figure[] = [{ name: words.plain, value: plainSeconds, unit: 's' }]
  for (const [contender, { laps }] of heats) {
    const samples = seconds(laps).map((value) => value / plainSeconds)
    figures.push({
      name: `${words[contender]}, slowest host`,
      value: Math.max(...samples),
      unit: 'times one plain stream',
      contender,
      samples,
      ...(contender === 'shoal' && reach ? { reach } : {}),
    })
  }
  return [...figures, ...[...heats].flatMap(([contender, heat]) => costFigures(words[contender], heat))]
}

function costFigures(name: string, { laps, cost, busy }: Heat): Figure[] {
  const work = { name: `${name}, machine at work`, value: busy, unit: 'of all cores' }
  if (!cost || cost.bytes === 0) return [work]
  const unit = 'CPU-seconds per GB received'
  const clients = laps.reduce((sum, { clientCpuSeconds = 0 }) => sum + clientCpuSeconds, 0)
  const parts = [...(cost.byWork ?? [])].map(([work, seconds]) => ({
    name: `${name}, of that: ${work}`,
    value: seconds / (cost.bytes / 1e9),
    unit,
  }))
  return [
    { name: `${name}, all nodes`, value: cost.cpuSeconds / (cost.bytes / 1e9), unit },
    ...parts,
    ...(clients > 0 ? [{ name: `${name}, their clients`, value: clients / (cost.bytes / 1e9), unit }] : []),
    work,
  ]
}
