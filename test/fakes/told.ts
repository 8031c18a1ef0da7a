/** What a mounter says of mounts, of 1,000 bytes each, with a tenth of them fetched. */
import type { Told } from '../../src/lazy/mounted.ts'
import { digestOf } from '../../src/oci/digest.ts'

interface Saying {
  readonly mounter?: string
  readonly mounts?: number
  /** Held by the snapshotter. */
  readonly layers?: number
  /** Reads. */
  readonly failed?: number
}

const sums = { size: 1000, here: 300, fetched: 100, deduped: 50 }

export function told({ mounter = '/run/m.sock', mounts = 0, layers = 1, failed = 0 }: Saying): Told {
  const all = mounts + layers
  return {
    mounter,
    version: '1.2.3',
    reads: { slow: 7, failed, waiting: 0 },
    totals: {
      mounts,
      layers,
      ...{ size: all * sums.size, here: all * sums.here, fetched: all * sums.fetched, deduped: all * sums.deduped },
    },
    mounts: Array.from({ length: mounts }, (_, i) => ({
      dir: `/srv/${i}`,
      image: 'docker.io/library/debian:13',
      platform: 'linux/amd64',
      rw: false,
      prefetch: true,
      since: '2026-01-01T12:00:00.000Z',
      ...sums,
      complete: false,
      whole: [],
    })),
    layers: Array.from({ length: layers }, (_, i) => ({
      digest: digestOf(new TextEncoder().encode(`layer ${i}`)),
      repository: 'docker.io/library/nginx',
      ...sums,
      complete: false,
      holders: [{ who: 'snapshotter', count: 2 }],
    })),
  }
}
