/** The few nodes that schedule and read from registries. */
import type { IStatefulSet } from 'kubernetes-models/apps/v1/StatefulSet'
import type { IPodDisruptionBudget } from 'kubernetes-models/policy/v1/PodDisruptionBudget'
import type { IService } from 'kubernetes-models/v1/Service'
import type { Cluster } from './manifests.ts'
import { annotations, labels, modeOf, node, ports, seedFile, seedName, settingsVolume, usual } from './pod.ts'

/** Who the image says `shoal` is. */
const user = 65532

export function seeds(cluster: Cluster): [IService, IPodDisruptionBudget, IStatefulSet] {
  const { namespace, storage, settings } = cluster
  const own = settings.seeds === settings.peers ? {} : { config: seedFile }
  const selector = labels('seed')
  const metadata = { name: seedName, namespace, labels: selector }
  return [
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata,
      spec: {
        // Its name has the addresses of all of them, also of those that wait for each other to be there.
        clusterIP: 'None',
        publishNotReadyAddresses: true,
        selector,
        ports: [
          { name: 'p2p', port: ports.p2p, targetPort: 'p2p', appProtocol: 'tcp' },
          { name: 'pieces', port: ports.pieces, targetPort: 'pieces' },
        ],
      },
    },
    {
      apiVersion: 'policy/v1',
      kind: 'PodDisruptionBudget',
      metadata,
      spec: { maxUnavailable: 1, selector: { matchLabels: selector } },
    },
    {
      apiVersion: 'apps/v1',
      kind: 'StatefulSet',
      metadata,
      spec: {
        serviceName: seedName,
        replicas: cluster.seeds,
        podManagementPolicy: 'Parallel',
        selector: { matchLabels: selector },
        template: {
          metadata: { labels: selector, annotations: annotations(cluster, 'seeds') },
          spec: {
            ...usual,
            securityContext: {
              runAsUser: user,
              runAsGroup: user,
              runAsNonRoot: true,
              fsGroup: user,
              fsGroupChangePolicy: 'OnRootMismatch',
              seccompProfile: { type: 'RuntimeDefault' },
            },
            topologySpreadConstraints: [
              {
                maxSkew: 1,
                topologyKey: 'kubernetes.io/hostname',
                whenUnsatisfiable: 'ScheduleAnyway',
                labelSelector: { matchLabels: selector },
              },
            ],
            containers: [
              {
                // In a folder of its own making, which is for it alone; that of a volume is for the group too.
                ...node(cluster, { ...own, mode: modeOf.seeds, 'data-dir': '/var/lib/shoal/data' }, 'status.podIP'),
                ports: [
                  { name: 'pieces', containerPort: ports.pieces },
                  { name: 'p2p', containerPort: ports.p2p },
                ],
                // The admin port, which says more, is for the pod's own loopback.
                readinessProbe: { tcpSocket: { port: 'pieces' }, periodSeconds: 5 },
                livenessProbe: { tcpSocket: { port: 'pieces' }, periodSeconds: 20, failureThreshold: 6 },
              },
            ],
            volumes: [settingsVolume],
          },
        },
        volumeClaimTemplates: [
          {
            metadata: { name: 'data', labels: selector },
            spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage } } },
          },
        ],
      },
    },
  ]
}
