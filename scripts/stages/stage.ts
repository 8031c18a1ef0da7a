/** Where the demo plays: some hosts, a registry that has the image, and the means to pull it. */
import type { Written } from '../../test/lab/image.ts'
import type { LabNode } from '../../test/lab/node.ts'
import type { Pulled } from '../../test/lab/pull.ts'

export interface Stage {
  readonly image: Written
  /** Names of the hosts that pull. */
  readonly places: readonly string[]
  /** Pulls straight from the registry; absent where no link limits that. */
  readonly plain?: (place: number) => Promise<Pulled>
  /** One on each host, ready to serve. */
  startNodes(): Promise<LabNode[]>
  /** Pulls through the node of that host. */
  pull(place: number): Promise<Pulled>
  /** Bytes the registry has sent so far. */
  registrySent(): Promise<number>
  close(): Promise<void>
}

export interface StageInit {
  readonly hosts: number
  readonly rate: string
  /** Bytes of the image, about. */
  readonly size: number
}

/** What the nodes call the registry, and the image in it. */
export const upstream = 'registry.demo'
export const repository = 'demo/image'
export const tag = 'latest'
