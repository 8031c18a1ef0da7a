/** What tests look at in findings. */
import type { DiskFacts } from '../../src/doctor/disk.ts'
import type { Finding } from '../../src/doctor/finding.ts'

/** `problem: what was found` for each; `good` ones by their level alone. */
export const said = (findings: readonly Finding[]) =>
  findings.map(({ level, what }) => (level === 'good' ? 'good' : `${level}: ${what}`))

/** What operators are to do. */
export const remedies = (findings: readonly Finding[]) => findings.map(({ remedy }) => remedy)

const GiB = 1024 ** 3
/** A disk on which all is well. */
export const goodDisk: DiskFacts = {
  dataDir: '/var/lib/shoal',
  exists: true,
  mount: { point: '/', kind: 'ext4', readOnly: false },
  free: 60 * GiB,
  total: 100 * GiB,
  inodes: { free: 900, total: 1000 },
  limit: 48 * GiB,
  keepFree: GiB,
  writable: true,
  strays: { owner: 'shoal', names: [] },
}
