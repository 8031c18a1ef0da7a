/** What is running. `scripts/build` fills in commit and date with `--define`; from sources they are unknown. */
import { version } from '../package.json'

declare const SHOAL_BUILD_COMMIT: string | undefined
declare const SHOAL_BUILD_DATE: string | undefined

export interface Build {
  readonly version: string
  /** Abbreviated git commit, or `unknown`. */
  readonly commit: string
  /** ISO 8601, or `unknown`. */
  readonly date: string
  /** Version of the runtime inside. */
  readonly bun: string
}

export const build: Build = {
  version,
  commit: typeof SHOAL_BUILD_COMMIT === 'string' ? SHOAL_BUILD_COMMIT : 'unknown',
  date: typeof SHOAL_BUILD_DATE === 'string' ? SHOAL_BUILD_DATE : 'unknown',
  bun: Bun.version,
}
