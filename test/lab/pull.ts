/**
 * A small puller, to be run on a host of the lab: fetches a manifest by tag and then its blobs, three at a time as
 * dockerd does, verifies every digest and keeps nothing.
 *
 * usage: bun pull.ts http://HOST:PORT REPOSITORY TAG [AT]; prints one line of JSON, a {@link Pulled}. It starts at AT,
 * milliseconds since 1970, so that many of them can start together however long each took to be there.
 */
import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { acceptManifests, contentsOf } from '../../src/oci/media.ts'
import type { Host } from './host.ts'
import { receiveBlob } from './receive.ts'
import { run } from './run.ts'

export interface Pulled {
  readonly digest: Digest
  /** When it began, in milliseconds since 1970. */
  readonly began: number
  /** From the request for the manifest to the last byte. */
  readonly seconds: number
  /** What the puller's process took of the cores, from its start. */
  readonly cpuSeconds: number
  /** Manifest and blobs. */
  readonly bytes: number
  readonly blobs: number
}

/** Pulls on `host`. @throws when anything is missing or has the wrong digest */
export async function pullOn(host: Host, base: string, repository: string, tag: string, at?: number): Promise<Pulled> {
  const args = [base, repository, tag, ...(at === undefined ? [] : [String(at)])]
  return JSON.parse(await host.exec([process.execPath, import.meta.path, ...args])) as Pulled
}

/** The same in a process of its own on this machine, so that its speed is comparable. */
export async function pullHere(base: string, repository: string, tag: string): Promise<Pulled> {
  return JSON.parse(await run([process.execPath, import.meta.path, base, repository, tag])) as Pulled
}

export async function pull(base: string, repository: string, tag: string): Promise<Pulled> {
  const began = Date.now()
  const start = performance.now()
  const url = (kind: string, name: string) => `${base}/v2/${repository}/${kind}/${name}`
  const manifest = await (await open(url('manifests', tag))).bytes()
  const queue = [...contentsOf(manifest).blobs]
  if (queue.length === 0) throw new Error(`${url('manifests', tag)} is not the manifest of an image`)
  const blobs = queue.length
  let bytes = manifest.length
  const worker = async () => {
    for (let blob = queue.shift(); blob; blob = queue.shift()) {
      await receiveBlob(url('blobs', blob.digest), blob.digest, blob.size)
      bytes += blob.size
    }
  }
  await Promise.all([worker(), worker(), worker()])
  const seconds = (performance.now() - start) / 1000
  const { user, system } = process.cpuUsage()
  return { digest: digestOf(manifest), began, seconds, cpuSeconds: (user + system) / 1e6, bytes, blobs }
}

async function open(url: string): Promise<Response> {
  const response = await fetch(url, { headers: { accept: acceptManifests } })
  if (response.status === 200) return response
  throw new Error(`${url}: ${response.status} ${(await response.text()).slice(0, 500)}`)
}

if (import.meta.main) {
  const [base, repository, tag, at] = process.argv.slice(2)
  if (!base || !repository || !tag) {
    console.error('usage: bun pull.ts http://HOST:PORT REPOSITORY TAG [AT]')
    process.exit(2)
  }
  if (at) await Bun.sleep(Math.max(0, Number(at) - Date.now()))
  console.log(JSON.stringify(await pull(base, repository, tag)))
}
