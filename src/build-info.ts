/** What is running. `scripts/build` defines the three constants; run from source there is nothing to define them. */
import { version } from '../package.json'

declare const SHOAL_VERSION: string | undefined
declare const SHOAL_COMMIT: string | undefined
declare const SHOAL_DATE: string | undefined

export const buildInfo = {
  version: typeof SHOAL_VERSION === 'string' ? SHOAL_VERSION : version,
  /** Twelve hex digits, `-dirty` behind them when the tree had changes; `dev` when run from source. */
  commit: typeof SHOAL_COMMIT === 'string' ? SHOAL_COMMIT : 'dev',
  /** RFC 3339, or `dev` when run from source. */
  date: typeof SHOAL_DATE === 'string' ? SHOAL_DATE : 'dev',
  bun: Bun.version,
} as const
