import { loadClusterKeys } from '../../cluster/cluster-key.ts'
import { modeOf } from '../../config/secret-file.ts'
import type { Settings } from '../../config/settings.ts'
import { Failure } from '../../failure.ts'
import type { ClusterFacts, SecretFile } from '../secrets.ts'

export function lookAtSecrets({ cluster, admin, source }: Settings): Pick<ClusterFacts, 'files' | 'key'> {
  const named = [
    { path: cluster.keyFile, what: 'cluster key' },
    { path: admin.tokenFile, what: 'admin token' },
    ...source.credentialsFiles.map((path) => ({ path, what: 'logins' })),
  ]
  const files = named.flatMap(({ path, what }): SecretFile[] => {
    const mode = path === undefined ? undefined : modeOf(path)
    return path === undefined || mode === undefined ? [] : [{ path, what, mode }]
  })
  return { files, ...(cluster.keyFile === undefined ? {} : { key: keyIn(cluster.keyFile) }) }
}

function keyIn(path: string): NonNullable<ClusterFacts['key']> {
  try {
    return { path, fingerprint: loadClusterKeys(path)[0]!.fingerprint }
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    return { path, wrong: error.message }
  }
}
