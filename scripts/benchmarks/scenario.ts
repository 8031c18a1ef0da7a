/**
 * What a benchmark is. A scenario has a file here and a line in `scenarios.ts`; it makes what it needs, measures what it
 * is compared with in the same run, removes everything, and returns figures. The runner repeats it and judges the
 * medians, so a scenario knows nothing of runs, tables or charts.
 */
import type { Arrangement } from '../../test/lab/race.ts'

/** What a scenario is made of and options can change. */
export interface Shape {
  readonly hosts: number
  /** What each link carries each way, as tc(8) writes it; undefined is as much as the machine can. */
  readonly rate: string | undefined
  /** Bytes of the image. */
  readonly size: number
  readonly layers: number
}

/** Ways to bring an image to hosts, compared side by side. `plain` is one stream to one host: the limit. */
export const contenders = ['plain', 'many', 'bittorrent', 'shoal'] as const
export type Contender = (typeof contenders)[number]

/** What is wanted of a figure. */
export interface Reach {
  readonly atMost?: number
  readonly atLeast?: number
}

export interface Figure {
  /** The same in every run: `shoal, slowest host`. */
  readonly name: string
  readonly value: number
  /** `times one plain stream`, `CPU-seconds per GB`. */
  readonly unit: string
  readonly reach?: Reach
  /** Set on the figures of a scenario that are drawn side by side; they have one unit. */
  readonly contender?: Contender
  /** What the figure was made of, one value for each host, in the figure's unit. */
  readonly samples?: readonly number[]
}

export interface Run {
  readonly shape: Shape
  /** How nodes are arranged, where it was asked for. */
  readonly arrangement: Arrangement | undefined
  readonly compare: ReadonlySet<Contender>
  /** Another one in each run; the same in the same run of the same scenario. */
  readonly seed: number
  readonly say: (text: string) => void
}

export interface Scenario {
  /** `hosts-16` */
  readonly name: string
  /** What happens in it, in one line. */
  readonly title: string
  /** What its ratios are measured against, in the same run. */
  readonly against: string
  /** Its reach is for this shape, and for no other. */
  readonly shape: Shape
  /** What is smaller with `--quick`. */
  readonly quick: Partial<Shape>
  run(run: Run): Promise<readonly Figure[]>
}
