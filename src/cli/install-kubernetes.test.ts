import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { DaemonSet } from 'kubernetes-models/apps/v1/DaemonSet'
import { StatefulSet } from 'kubernetes-models/apps/v1/StatefulSet'
import { PodDisruptionBudget } from 'kubernetes-models/policy/v1/PodDisruptionBudget'
import type { IPodSpec } from 'kubernetes-models/v1'
import { Namespace } from 'kubernetes-models/v1/Namespace'
import { Secret } from 'kubernetes-models/v1/Secret'
import { Service } from 'kubernetes-models/v1/Service'
import { parseAllDocuments } from 'yaml'
import { FakeContext } from '../../test/fakes/context.ts'
import type { Settings } from '../config/settings.ts'
import { run } from './program.ts'

const key = 'a-cluster-key-of-some-length'

async function printed(...args: string[]) {
  const context = new FakeContext()
  context.files['/root/cluster.key'] = key
  context.files['/root/users'] = 'ann'
  context.files['/root/ca.pem'] = 'a certificate'
  const code = await run(['install', '--kubernetes', ...args], context)
  const documents = parseAllDocuments(context.printed.join('\n')).map((document) => document.toJS() as unknown)
  return { code, documents, context }
}

const keyed = ['--cluster-key-file', '/root/cluster.key']

/** The manifests as the models of Kubernetes' own schemas have them. */
async function parsed(...args: string[]) {
  const { code, documents, context } = await printed(...keyed, ...args)
  expect([code, context.complained]).toEqual([0, []])
  const [namespace, secret, service, budget, seeds, peers, ...rest] = documents as [
    ...ConstructorParameters<typeof Namespace>,
    ...ConstructorParameters<typeof Secret>,
    ...ConstructorParameters<typeof Service>,
    ...ConstructorParameters<typeof PodDisruptionBudget>,
    ...ConstructorParameters<typeof StatefulSet>,
    ...ConstructorParameters<typeof DaemonSet>,
    ...unknown[],
  ]
  expect(rest).toEqual([])
  return {
    namespace: new Namespace(namespace),
    secret: new Secret(secret),
    service: new Service(service),
    budget: new PodDisruptionBudget(budget),
    seeds: new StatefulSet(seeds),
    peers: new DaemonSet(peers),
  }
}

const podsOf = ({ seeds, peers }: Awaited<ReturnType<typeof parsed>>): IPodSpec[] => [
  seeds.spec!.template.spec!,
  peers.spec!.template.spec!,
]

/** What a seed and a peer are started with. */
async function started(all: Awaited<ReturnType<typeof parsed>>) {
  const nodes = []
  for (const { containers } of podsOf(all)) {
    const context = new FakeContext()
    for (const [name, text] of Object.entries(all.secret.stringData!)) context.files[`/etc/shoal/${name}`] = text
    context.variables = { SHOAL_ADVERTISE: '10.1.2.3' }
    context.endNodes()
    expect([await run(containers[0]!.args!, context), context.complained]).toEqual([0, []])
    nodes.push(context.started[0]!)
  }
  return nodes as [Settings, Settings]
}

describe('the manifests that install --kubernetes prints', () => {
  test('are what the schemas of Kubernetes want', async () => {
    const all = Object.values(await parsed('--seeds', '5', '--storage', '20Gi'))
    for (const manifest of all) expect(() => manifest.validate()).not.toThrow()
    expect(all.map(({ kind }) => String(kind))).toEqual([
      ...['Namespace', 'Secret', 'Service', 'PodDisruptionBudget', 'StatefulSet', 'DaemonSet'],
    ])
  })

  test('would not be with a value of another type, so the schemas are really asked', async () => {
    const { seeds } = await parsed()
    seeds.spec!.template.spec!.containers[0]!.args = [7 as unknown as string]
    expect(() => seeds.validate()).toThrow(/args/)
  })

  test('fit together: selectors, volumes, ports and the name that all join by', async () => {
    const all = await parsed('--namespace', 'images', '--join', '10.0.0.9')
    const { service, seeds, peers, budget } = all
    const pods = seeds.spec!.template.metadata!.labels!
    expect(pods).toMatchObject(service.spec!.selector!)
    expect(pods).toEqual(seeds.spec!.selector.matchLabels!)
    expect(pods).toEqual(budget.spec!.selector!.matchLabels!)
    expect(peers.spec!.template.metadata!.labels).toEqual(peers.spec!.selector.matchLabels!)
    expect(peers.spec!.selector.matchLabels).not.toEqual(seeds.spec!.selector.matchLabels!)
    expect(seeds.spec!.serviceName).toBe(service.metadata!.name!)
    expect(service.spec).toMatchObject({ clusterIP: 'None', publishNotReadyAddresses: true })
    const claims = seeds.spec!.volumeClaimTemplates!.map(({ metadata }) => metadata!.name!)
    for (const pod of podsOf(all)) {
      const volumes = [...pod.volumes!.map((volume) => volume.name), ...claims]
      for (const { volumeMounts = [], args = [] } of [...pod.containers, ...(pod.initContainers ?? [])]) {
        for (const mount of volumeMounts) expect(volumes).toContain(mount.name)
        if (args[0] === 'up') expect(args).toContain('--join=shoal-seeds.images.svc,10.0.0.9')
      }
    }
    for (const { metadata, kind } of Object.values(all)) {
      expect(metadata!.namespace).toBe(kind === 'Namespace' ? undefined : 'images')
    }
  })

  test('start nodes with settings that are right: seeds that schedule, and peers on the hosts', async () => {
    const all = await parsed('--upstream', 'registry.corp=http://registry.corp:5000', '--ca-file', '/root/ca.pem')
    const [seed, peer] = await started(all)
    expect(seed.node).toMatchObject({ modes: ['seed', 'scheduler'], advertise: '10.1.2.3' })
    expect(peer.node).toMatchObject({ modes: ['peer'], dataDir: '/var/lib/shoal' })
    for (const { cluster, source, p2p } of [seed, peer]) {
      expect(cluster.keyFile).toBe('/etc/shoal/cluster.key')
      expect(source.caFile).toBe('/etc/shoal/ca.pem')
      expect(source.upstreams.map(({ registry }) => registry)).toContain('registry.corp')
      expect(p2p).toMatchObject({ join: ['/dns/shoal-seeds.shoal.svc/tcp/4882'], mdns: false })
    }
    expect(all.secret.stringData!['cluster.key']).toBe(key)
  })

  test('leave to seeds what only those may have, and tell all whose repositories these are', async () => {
    const all = await parsed(
      ...['--push', '--push-users-file', '/root/users', '--push-deletes', '--home', 'apps.corp/**'],
      ...['--replicate', 'apps.corp/**=https://b.corp:4880', '--replicate-rate', '10MB/s'],
      ...['--keep', 'apps.corp/base/*: all; apps.corp/**: tags=10, idle=30d', '--keep', 'docker.io/**: idle=7d'],
    )
    const [seed, peer] = await started(all)
    expect(seed.home.push).toEqual({ usersFile: '/etc/shoal/push.users', deletes: true })
    expect(seed.replication).toMatchObject({ rules: [{ pattern: 'apps.corp/**' }], rate: 10_000_000 })
    expect(seed.store.keep.map(({ text }) => text)).toEqual([
      'apps.corp/base/*: all',
      'apps.corp/**: tags=10, idle=30d',
      'docker.io/**: idle=7d',
    ])
    expect(peer.home).toEqual({ patterns: [{ pattern: 'apps.corp/**' }] })
    expect(peer.replication.rules).toEqual([])
    expect(peer.store.keep.map(({ text }) => text)).toEqual(['apps.corp/**: idle=30d', 'docker.io/**: idle=7d'])
    expect(seed.home.patterns).toEqual(peer.home.patterns)
    expect(all.secret.stringData!['push.users']).toBe('ann')
    // Command lines can be read by others, and files cannot.
    for (const pod of podsOf(all)) expect(JSON.stringify(pod)).not.toContain('b.corp')
  })

  test('have one settings file where seeds have nothing of their own', async () => {
    const { secret } = await parsed('--home', 'apps.corp/**')
    expect(Object.keys(secret.stringData!)).toEqual(['shoal.yaml', 'cluster.key'])
  })

  test.each([
    [['--push'], '--home'],
    [['--replicate-rate', '1MB/s'], 'give --replicate too'],
    [['--keep', 'apps.corp/**: tags=10'], 'give --push too'],
    [['--home', 'apps.corp/**=file:///srv/images'], '--home: no pod has /srv/images; give a backend'],
    [['--state', 'postgres://a@localhost/b?host=/run/postgresql'], '--state: no pod has the socket in /run/postgresql'],
  ])('are not printed with %j, of which some pods would not start', async (flags, says) => {
    const { code, documents, context } = await printed(...keyed, ...flags)
    expect([code, documents]).toEqual([2, []])
    expect(context.complained.join()).toContain(says)
  })

  test('replace pods when the settings are others, and only then', async () => {
    const mark = ({ peers }: Awaited<ReturnType<typeof parsed>>) => peers.spec!.template.metadata!.annotations
    const pushed = await parsed('--home', 'apps.corp/**', '--push')
    expect(mark(pushed)).toEqual(mark(await parsed('--home', 'apps.corp/**'))!)
    expect(pushed.seeds.spec!.template.metadata!.annotations).not.toEqual(mark(pushed)!)
    const [one, same, other] = [await parsed(), await parsed(), await parsed('--tag-ttl', '5m')].map(mark)
    expect(same).toEqual(one!)
    expect(other).not.toEqual(one!)
  })

  test('give no container more than it needs', async () => {
    for (const pod of podsOf(await parsed())) {
      expect(pod.automountServiceAccountToken).toBe(false)
      for (const { securityContext } of [...pod.containers, ...(pod.initContainers ?? [])]) {
        expect(securityContext).toEqual({
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ['ALL'] },
        })
      }
    }
  })

  test.each([
    ['--mode', 'peer'],
    ['--data-dir', '/data'],
    ['--namespace', 'Not A Name'],
    ['--seeds', '0'],
    ['--storage', 'much'],
  ])('are not printed with %s %s, which is wrong usage', async (flag, value) => {
    const { code, documents } = await printed(flag!, value!)
    expect([code, documents]).toEqual([2, []])
  })

  test('of an open cluster come with a word about it', async () => {
    const { code, context } = await printed()
    expect(code).toBe(0)
    expect(context.complained.join()).toContain('without --cluster-key-file')
  })
})

describe('the container that configures containerd', () => {
  let root: string
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'shoal-kubernetes-'))
  })
  afterEach(() => rmSync(root, { recursive: true, force: true }))

  /** Runs it with the folder that stands for the host. */
  async function configure(...flags: string[]): Promise<FakeContext> {
    const { peers } = await parsed(...flags)
    const [container] = peers.spec!.template.spec!.initContainers!
    const context = new FakeContext()
    const args = container!.args!.map((arg) => arg.replace(/^--root=.*/, `--root=${root}`))
    expect([await run(args, context), context.complained]).toEqual([0, []])
    return context
  }

  const file = (path: string) => join(root, path)

  test('points it at the node of its host, and changes nothing when it comes again', async () => {
    mkdirSync(file('etc/containerd'), { recursive: true })
    writeFileSync(file('etc/containerd/config.toml'), 'version = 2\n')
    await configure()
    const hosts = readFileSync(file('etc/containerd/certs.d/_default/hosts.toml'), 'utf8')
    expect(hosts).toContain('[host."http://127.0.0.1:4880"]')
    expect(readFileSync(file('etc/containerd/config.toml'), 'utf8')).toContain(
      'config_path = "/etc/containerd/certs.d"',
    )
    expect((await configure()).printed.join('\n')).toContain('configured already')
  })

  test('finds it elsewhere where --containerd-dir says so', async () => {
    const dir = '/opt/containerd/etc'
    const config = file(`${dir}/config.toml`)
    mkdirSync(dirname(config), { recursive: true })
    const text = `version = 3\n\n[plugins.'io.containerd.cri.v1.images'.registry]\n  config_path = "${dir}/certs.d"\n`
    writeFileSync(config, text)
    await configure('--containerd-dir', dir)
    expect(existsSync(file(`${dir}/certs.d/_default/hosts.toml`))).toBe(true)
    expect(readFileSync(config, 'utf8')).toBe(text)
  })
})
