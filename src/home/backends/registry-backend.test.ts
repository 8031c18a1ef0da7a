/** Another registry as the place where repositories are kept: Debian's docker-registry. */
import { setDefaultTimeout } from 'bun:test'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { backendConformance } from '../../../test/conformance/backend.ts'
import { webOptions } from '../../../test/fakes/web-options.ts'
import { LabRegistry } from '../../../test/lab/registry.ts'
import { backendOf } from './backend-of.ts'

setDefaultTimeout(30_000)

const account = { user: 'seed', password: 'nobodys-secret' }

if (Bun.which('docker-registry') === null) {
  console.warn('skipped: a registry as a backend, docker-registry is not installed (apt-get install docker-registry)')
} else {
  backendConformance('another registry', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'shoal-registry-'))
    const registry = await LabRegistry.start({ dir, account })
    const dockerFile = join(dir, 'config.json')
    const auth = Buffer.from(`${account.user}:${account.password}`).toString('base64')
    await writeFile(dockerFile, JSON.stringify({ auths: { [registry.hostPort]: { auth } } }))
    return {
      again: () =>
        backendOf(
          `registry+${registry.url}/kept/here`,
          webOptions({ dockerFile, timeouts: { headersMs: 10_000, idleMs: 10_000 } }),
        ),
      // What this one cannot (docker-registry 2.8).
      referrers: false,
      ordered: false,
      untags: false,
      async stop() {
        await registry.stop()
        await rm(dir, { recursive: true, force: true })
      },
    }
  })
}
