/** What the rest of a node may know about the others; `wire/` keeps it up to date. */
import type { Mode, NodeId, NodeInfo } from './node-info.ts'

export interface Member {
  readonly info: NodeInfo
  /** Clock time in ms at which it was last heard from. */
  readonly seenAt: number
}

export interface Membership {
  /** This node. */
  readonly self: NodeInfo
  /** Live nodes, this one included. */
  all(): readonly Member[]
  /** Live nodes that hold `mode`, this one included if it does. */
  withMode(mode: Mode): readonly NodeInfo[]
  find(id: NodeId): NodeInfo | undefined
  /** Someone could not reach that node: it is probed at once and dropped if it does not answer. */
  doubt(id: NodeId): void
  onJoin(listener: (info: NodeInfo) => void): void
  onLeave(listener: (info: NodeInfo, reason: string) => void): void
}
