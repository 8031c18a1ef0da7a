/** A registry that plays Docker Hub: dockerd takes mirrors for no other, and goes to it by name and over TLS when they fail. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Host } from '../host.ts'
import { LabRegistry, type RegistryInit } from '../registry.ts'
import { run } from '../run.ts'

export interface DockerHub {
  readonly registry: LabRegistry
  /** PEM file of the authority behind its certificate: the certificate itself. */
  readonly caFile: string
  /** A file to have as `/etc/hosts`, which names it. */
  readonly hosts: string
}

/** With an account, everything of it is private. */
export async function startDockerHub(host: Host, account?: RegistryInit['account']): Promise<DockerHub> {
  const dir = join(host.dir, 'hub')
  mkdirSync(dir, { recursive: true })
  const [certificate, key, hosts] = ['hub.pem', 'hub.key', 'hosts'].map((name) => join(dir, name)) as [
    string,
    string,
    string,
  ]
  await run([
    ...['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'],
    ...['-keyout', key, '-out', certificate, '-subj', '/CN=registry-1.docker.io'],
    ...['-addext', `subjectAltName=DNS:registry-1.docker.io,IP:${host.address}`],
  ])
  writeFileSync(hosts, `127.0.0.1 localhost\n${host.address} registry-1.docker.io\n`)
  const registry = await LabRegistry.start({
    host,
    port: 443,
    dir,
    tls: { certificate, key },
    ...(account ? { account } : {}),
  })
  return { registry, caFile: certificate, hosts }
}
