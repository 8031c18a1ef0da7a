/** The snapshotter as a process: what it consists of, read from top to bottom. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { type Clock, every } from '../clock.ts'
import { Failure } from '../failure.ts'
import { type Address, formatAddress, listen } from '../listen.ts'
import type { Log } from '../telemetry/log.ts'
import { Catalog } from './catalog.ts'
import { ContainerdContent } from './content.ts'
import { type Disk, Folders, realDisk } from './folders.ts'
import { Images } from './images.ts'
import { LazyLayers } from './lazy-layers.ts'
import { snapshotterMetrics } from './metrics.ts'
import { Mounter } from './mounter.ts'
import { indexState } from './node-index.ts'
import { Reconciler } from './reconciler.ts'
import { serve } from './server.ts'
import { Snapshots } from './snapshots.ts'

export interface SnapshotterSettings {
  /** Where containerd asks. */
  readonly socket: string
  readonly dataDir: string
  /** The mounter's socket. */
  readonly mounter: string
  /** containerd's own. */
  readonly containerd: string
  /** Origin of the node's registry port. */
  readonly node: string
  /** How long the indexes of an image are waited for, ms. */
  readonly indexWaitMs: number
  readonly metrics?: Address | undefined
}

export interface Snapshotter {
  close(): Promise<void>
}

const reconcileMs = 15_000

/** @throws {Failure} */
export async function startSnapshotter(
  settings: SnapshotterSettings,
  log: Log,
  clock: Clock,
  disk: Disk = realDisk,
): Promise<Snapshotter> {
  mkdirSync(settings.dataDir, { recursive: true, mode: 0o700 })
  const catalog = new Catalog(join(settings.dataDir, 'snapshotter.db'))
  const folders = new Folders(settings.dataDir, disk)
  const content = new ContainerdContent(settings.containerd)
  const mounter = new Mounter({ socket: settings.mounter, node: settings.node })
  const layers = new LazyLayers(new Images(content), mounter, {
    clock,
    waitMs: settings.indexWaitMs,
    index: (layer) => indexState(settings.node, layer),
  })
  const metrics = snapshotterMetrics(() => catalog.all())
  const witness = {
    lazy: () => metrics.lazy.inc(),
    unpacked: (reason: string) => metrics.unpacked.inc({ reason }),
  }
  const snapshots = new Snapshots({ catalog, folders, layers, clock, log, witness })
  const reconciler = new Reconciler(snapshots, catalog, mounter, log)
  try {
    snapshots.setAside()
    const heard = (method: string, code: string, ms: number) => metrics.calls.observe({ method, code }, ms / 1000)
    const server = await serve(snapshots, settings.socket, log, heard)
    const page = settings.metrics && metricsPage(settings.metrics, () => metrics.registry.metrics())
    const ended = new AbortController()
    // After an image was removed it may be millions of files, and no container starts before this serves.
    snapshots.clean().catch((error: unknown) => log.warn('what earlier snapshots left could not be removed', { error }))
    void reconciler.begin(clock, ended.signal)
    const stop = every(clock, reconcileMs, () => void reconciler.run())
    log.info('the snapshotter serves', { socket: settings.socket, snapshots: catalog.all().length })
    return {
      async close() {
        stop()
        ended.abort()
        await server.close()
        await page?.stop()
        content.close()
        catalog.close()
      },
    }
  } catch (error) {
    content.close()
    catalog.close()
    throw Failure.from(error)
  }
}

function metricsPage(address: Address, metrics: () => Promise<string>) {
  const routes = {
    '/metrics': async () => new Response(await metrics(), { headers: { 'content-type': 'text/plain; version=0.0.4' } }),
    '/healthz': new Response('ok\n'),
  }
  return listen(address, `--metrics-addr ${formatAddress(address)}`, () =>
    Bun.serve({ hostname: address.host, port: address.port, routes, fetch: () => new Response('', { status: 404 }) }),
  )
}
