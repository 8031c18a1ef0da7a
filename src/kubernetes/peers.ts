/** The node on each host, and containerd pointed at it. */
import type { IDaemonSet } from 'kubernetes-models/apps/v1/DaemonSet'
import { settingOf } from '../config/table.ts'
import { places } from '../install/places.ts'
import type { Cluster } from './manifests.ts'
import { annotations, confined, labels, modeOf, node, settingsVolume, usual } from './pod.ts'

/** Below which the init container has what it edits of the host, so that nothing else of the host is in its reach. */
const hostRoot = '/host'

export function peers(cluster: Cluster): [IDaemonSet] {
  const { namespace, image, containerdDir, adminPort } = cluster
  const selector = labels('peer')
  const probe = (path: string) => ({ httpGet: { host: '127.0.0.1', port: adminPort, path } })
  return [
    {
      apiVersion: 'apps/v1',
      kind: 'DaemonSet',
      metadata: { name: 'shoal', namespace, labels: selector },
      spec: {
        selector: { matchLabels: selector },
        // A host without its peer goes to the registry: not many at once.
        updateStrategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: '10%' } },
        template: {
          metadata: { labels: selector, annotations: annotations(cluster, 'peers') },
          spec: {
            ...usual,
            // Engines look for it on the loopback of their host.
            hostNetwork: true,
            dnsPolicy: 'ClusterFirstWithHostNet',
            priorityClassName: 'system-node-critical',
            // Wherever images are pulled.
            tolerations: [{ operator: 'Exists' }],
            nodeSelector: { 'kubernetes.io/os': 'linux' },
            // Root, as those are whose pulls its logins serve, and whose folders it writes to; with none of root's powers.
            securityContext: { runAsUser: 0, runAsGroup: 0, seccompProfile: { type: 'RuntimeDefault' } },
            initContainers: [
              {
                name: 'configure-containerd',
                image,
                args: [
                  ...['configure', 'containerd', '--yes', '--no-standby'],
                  `--root=${hostRoot}`,
                  `--file=${containerdDir}/config.toml`,
                  `--registry-addr=${String(settingOf('registry-addr').default)}`,
                ],
                securityContext: confined,
                volumeMounts: [
                  { name: 'containerd', mountPath: `${hostRoot}${containerdDir}` },
                  // What --undo needs, in its usual place.
                  { name: 'undo', mountPath: `${hostRoot}${places.settingsDir}` },
                ],
              },
            ],
            containers: [
              {
                ...node(cluster, { mode: modeOf.peers, 'data-dir': '/var/lib/shoal' }, 'status.hostIP'),
                readinessProbe: { ...probe('/readyz'), periodSeconds: 5 },
                livenessProbe: { ...probe('/healthz'), periodSeconds: 20, failureThreshold: 6 },
              },
            ],
            volumes: [
              settingsVolume,
              { name: 'data', hostPath: { path: '/var/lib/shoal', type: 'DirectoryOrCreate' } },
              { name: 'containerd', hostPath: { path: containerdDir, type: 'DirectoryOrCreate' } },
              { name: 'undo', hostPath: { path: places.settingsDir, type: 'DirectoryOrCreate' } },
            ],
          },
        },
      },
    },
  ]
}
