/** Who may join the nodes of a lab, and who may read what they say: what `shoal up` is given for that. */
import { join } from 'node:path'
import { newClusterKey } from '../../src/cli/keygen.ts'

export type Admission = 'open' | 'keyed' | 'keyed and encrypted'

/** @param dir for the file of the key, made anew */
export async function admissionFlags(admission: Admission, dir: string): Promise<string[]> {
  if (admission === 'open') return []
  const file = join(dir, 'cluster.key')
  await Bun.write(file, newClusterKey(), { mode: 0o600 })
  return ['--cluster-key-file', file, ...(admission === 'keyed' ? [] : ['--encrypt'])]
}
