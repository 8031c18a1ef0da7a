/** What rules say of what is kept, and what was done about it: what an operator is told. */
import type { KeepRule } from '../config/rules.ts'
import type { Repository } from '../oci/reference.ts'
import type { KeepPlan } from './plan.ts'

export interface KeptRepository {
  readonly repository: Repository
  readonly rule: KeepRule
  readonly plan: KeepPlan
}

export interface Keeps {
  /**
   * What would go and what would stay, of each repository of the cluster's own that a rule is about. @throws {Failure}
   * `unavailable` while this host's clock is not to be gone by
   */
  plan(): Promise<KeptRepository[]>
  /** Takes away what rules do not keep; what is said to go is gone then. @throws {Failure} `try-later`; as {@link plan} */
  sweep(): Promise<KeptRepository[]>
}
