/** What pods of seeds and of peers have in common. */
import { dirname, join } from 'node:path'
import type { IContainer } from 'kubernetes-models/v1/Container'
import type { IPodSpec } from 'kubernetes-models/v1/PodSpec'
import type { ISecurityContext } from 'kubernetes-models/v1/SecurityContext'
import type { IVolume } from 'kubernetes-models/v1/Volume'
import { defaultConfigFile, flagOf, type Name } from '../config/table.ts'
import type { Cluster } from './manifests.ts'

/** The headless service of the seeds, which all nodes join by. */
export const seedName = 'shoal-seeds'
export const ports = { pieces: 4881, p2p: 4882 } as const

/** Drained within half a minute, whatever is under way; see what a node does at SIGTERM. */
export const graceSeconds = 40

const settingsDir = dirname(defaultConfigFile)
/** Where seeds have settings that peers must not have. */
export const seedFile = join(settingsDir, 'seeds.yaml')

/** What the nodes do. */
export const modeOf = { seeds: 'scheduler,seed', peers: 'peer' } as const

export function labels(component: 'seed' | 'peer'): Record<string, string> {
  return { 'app.kubernetes.io/name': 'shoal', 'app.kubernetes.io/component': component }
}

/** Pods are replaced when the settings that they read at their start are others. */
export function annotations({ settings, files }: Cluster, kind: keyof typeof modeOf): Record<string, string> {
  const all = JSON.stringify([settings[kind], files])
  return { 'shoal/settings': new Bun.CryptoHasher('sha256').update(all).digest('hex').slice(0, 16) }
}

export function node(
  { image, namespace, join }: Cluster,
  settings: Partial<Record<Name, string>>,
  address: 'status.podIP' | 'status.hostIP',
): IContainer {
  const all = { ...settings, join: [`${seedName}.${namespace}.svc`, ...join].join(',') }
  return {
    name: 'shoal',
    image,
    args: ['up', '--no-mdns', ...Object.entries(all).map(([name, value]) => `${flagOf(name as Name)}=${value}`)],
    env: [{ name: 'SHOAL_ADVERTISE', valueFrom: { fieldRef: { fieldPath: address } } }],
    securityContext: confined,
    volumeMounts: [
      { name: 'settings', mountPath: settingsDir, readOnly: true },
      { name: 'data', mountPath: '/var/lib/shoal' },
    ],
    resources: { requests: { cpu: '100m', memory: '256Mi' } },
  }
}

export const confined: ISecurityContext = {
  allowPrivilegeEscalation: false,
  readOnlyRootFilesystem: true,
  capabilities: { drop: ['ALL'] },
}

/** For its owner and its group, which Kubernetes makes that of a pod that is not root. */
export const settingsVolume: IVolume = { name: 'settings', secret: { secretName: 'shoal', defaultMode: 0o440 } }

export const usual: Partial<IPodSpec> = {
  terminationGracePeriodSeconds: graceSeconds,
  // It asks nothing of Kubernetes.
  automountServiceAccountToken: false,
  enableServiceLinks: false,
}
