/** What the snapshotter counts, for Prometheus: a process of its own, so a port of its own. */
import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import { buildInfo } from '../build-info.ts'
import type { Info, Kind } from './snapshot.ts'

const kinds: readonly Kind[] = ['view', 'active', 'committed']

/** `infos` are counted when somebody asks. */
export function snapshotterMetrics(infos: () => readonly Info[]) {
  const registry = new Registry()
  const registers = [registry]
  const build = new Gauge({
    name: 'shoal_snapshotter_build_info',
    help: 'Always 1',
    labelNames: ['version', 'commit'],
    registers,
  })
  build.set({ version: buildInfo.version, commit: buildInfo.commit }, 1)
  new Gauge({
    name: 'shoal_snapshotter_snapshots',
    help: 'Snapshots by kind',
    labelNames: ['kind'],
    registers,
    collect() {
      const all = infos()
      for (const kind of kinds) this.set({ kind }, all.filter((info) => info.kind === kind).length)
    },
  })
  return {
    registry,
    lazy: new Counter({
      name: 'shoal_snapshotter_lazy_layers_total',
      help: 'Layers of images that were mounted, and are read as they are needed',
      registers,
    }),
    unpacked: new Counter<'reason'>({
      name: 'shoal_snapshotter_unpacked_layers_total',
      help: 'Layers of images that containerd fetched whole and unpacked, by reason',
      labelNames: ['reason'],
      registers,
    }),
    calls: new Histogram<'method' | 'code'>({
      name: 'shoal_snapshotter_call_seconds',
      help: 'Calls of containerd, by method and gRPC status',
      labelNames: ['method', 'code'],
      buckets: [0.001, 0.01, 0.1, 1, 10],
      registers,
    }),
  }
}
