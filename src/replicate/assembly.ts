/** What a node has of replication: nothing, unless it has rules for it. */
import type { ReplicationSettings, SourceSettings } from '../config/settings.ts'
import type { State } from '../state/state.ts'
import { Replication, type ReplicationParts } from './replication.ts'

export interface ReplicationDeps extends Omit<ReplicationParts, 'state' | 'rules' | 'rate' | 'writer'> {
  /** Seeds have one, and only those copy. */
  readonly state: State | undefined
  readonly settings: {
    readonly replication: ReplicationSettings
    readonly source: Pick<SourceSettings, 'credentialsFiles' | 'caFile'>
  }
}

/** It copies from now on. */
export function replicationOf({ settings, state, ...parts }: ReplicationDeps): Replication | undefined {
  const { rules, rate } = settings.replication
  if (rules.length === 0 || !state) return undefined
  const { credentialsFiles, caFile } = settings.source
  const writer = { credentialsFile: credentialsFiles, ...(caFile ? { caFile } : {}) }
  const replication = new Replication({ ...parts, state, rules, rate, writer })
  replication.start()
  return replication
}
