/**
 * shoal for a Kubernetes cluster: what `kubectl apply` is given. Pure. A peer on every host that engines reach on its
 * loopback, as everywhere; seeds that are schedulers too, each with a disk of its own, found by one name in DNS; and
 * containerd of each host is pointed at its peer before that starts.
 */
import { basename } from 'node:path'
import type { IDaemonSet } from 'kubernetes-models/apps/v1/DaemonSet'
import type { IStatefulSet } from 'kubernetes-models/apps/v1/StatefulSet'
import type { IPodDisruptionBudget } from 'kubernetes-models/policy/v1/PodDisruptionBudget'
import type { INamespace } from 'kubernetes-models/v1/Namespace'
import type { ISecret } from 'kubernetes-models/v1/Secret'
import type { IService } from 'kubernetes-models/v1/Service'
import { defaultConfigFile, type Name } from '../config/table.ts'
import { peers } from './peers.ts'
import { seedFile } from './pod.ts'
import { seeds } from './seeds.ts'

export interface Cluster {
  readonly namespace: string
  /** Of the container image. */
  readonly image: string
  /** How many nodes schedule and read from registries. */
  readonly seeds: number
  /** Disk of each of those, as Kubernetes writes sizes. */
  readonly storage: string
  /** Where hosts have containerd's configuration. */
  readonly containerdDir: string
  /** The settings files of seeds and of peers, which may well be the same. */
  readonly settings: { readonly seeds: string; readonly peers: string }
  /** Files that it names, and what is in them. */
  readonly files: readonly { readonly path: string; readonly text: string }[]
  /** Nodes elsewhere. */
  readonly join: readonly string[]
  /** Of the admin port, which is on loopback. */
  readonly adminPort: number
}

export type Manifest = INamespace | ISecret | IService | IStatefulSet | IPodDisruptionBudget | IDaemonSet

/** Settings that differ between the nodes, or follow from how they are run here. */
export const decided: readonly Name[] = [
  ...(['config', 'mode', 'data-dir', 'registry-addr', 'peer-addr', 'p2p-addr'] as const),
  ...(['advertise', 'mdns', 'zone'] as const),
]

export function manifests(cluster: Cluster): Manifest[] {
  const { namespace, settings, files } = cluster
  return [
    {
      apiVersion: 'v1',
      kind: 'Namespace',
      // Peers use the network and a folder of their host.
      metadata: { name: namespace, labels: { 'pod-security.kubernetes.io/enforce': 'privileged' } },
    },
    {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'shoal', namespace },
      type: 'Opaque',
      stringData: Object.fromEntries([
        // By its usual name also for commands that are run in a pod.
        [basename(defaultConfigFile), settings.peers],
        ...(settings.seeds === settings.peers ? [] : [[basename(seedFile), settings.seeds]]),
        ...files.map(({ path, text }) => [basename(path), text]),
      ]),
    },
    ...seeds(cluster),
    ...peers(cluster),
  ]
}
