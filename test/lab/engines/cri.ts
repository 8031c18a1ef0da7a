/** Kubernetes' way to containerd: `runtime.v1`, as far as pulls go, and a containerd that is asked in that way. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { credentials, makeGenericClientConstructor, status } from '@grpc/grpc-js'
import { fromJSON } from '@grpc/proto-loader'
import { Disk } from '../../../src/configure/disk.ts'
import { settingOf } from '../../../src/configure/setting.ts'
import { planSnapshotter } from '../../../src/configure/snapshotter.ts'
import type { Capsule } from '../capsule.ts'
import type { LabProcess } from '../process.ts'
import { until } from '../until.ts'

const text = (id: number) => ({ type: 'string', id })
const call = (requestType: string, responseType: string) => ({ requestType, responseType, comment: '' })
const packages: Parameters<typeof fromJSON>[0] = {
  nested: {
    'runtime.v1': {
      nested: {
        ImageSpec: { fields: { image: text(1) } },
        ImageRequest: { fields: { image: { type: 'ImageSpec', id: 1 } } },
        PullImageResponse: { fields: { imageRef: text(1) } },
        Empty: { fields: {} },
        ImageService: {
          methods: { PullImage: call('ImageRequest', 'PullImageResponse'), RemoveImage: call('ImageRequest', 'Empty') },
        },
      },
    },
  },
}
const service = fromJSON(packages, { defaults: true })['runtime.v1.ImageService']
if (!service || 'format' in service) throw new Error('there is no ImageService')
const ImageService = makeGenericClientConstructor(service, 'ImageService')

/** @throws with the name of the gRPC status, and what containerd says */
async function cri(socket: string, method: 'PullImage' | 'RemoveImage', image: string): Promise<void> {
  const client = new ImageService(`unix://${socket}`, credentials.createInsecure())
  const definition = ImageService.service[method]!
  const { path, requestSerialize, responseDeserialize } = definition
  try {
    await new Promise<void>((resolve, reject) => {
      client.makeUnaryRequest(path, requestSerialize, responseDeserialize, { image: { image } }, (error) =>
        error ? reject(new Error(`${status[error.code]}: ${error.details}`)) : resolve(),
      )
    })
  } finally {
    client.close()
  }
}

/** containerd with Kubernetes' half, which has a snapshotter; in a capsule, on this machine's network. */
export class CriContainerd {
  /** Version of containerd. */
  readonly major: number
  readonly #capsule: Capsule
  readonly #dir: string
  #process: LabProcess | undefined

  constructor(capsule: Capsule, snapshotter: string) {
    this.#capsule = capsule
    this.#dir = capsule.dir
    mkdirSync(join(this.#dir, 'hosts.d'), { recursive: true })
    // Of the second version: the one that both containerds take, and that hosts have which were there before the newer.
    const file = join(this.#dir, 'config.toml')
    writeFileSync(
      file,
      [
        'version = 2',
        `root = "${join(this.#dir, 'root')}"`,
        `state = "${join(this.#dir, 'state')}"`,
        '[grpc]',
        `address = "${this.socket}"`,
        '[plugins."io.containerd.grpc.v1.cri".registry]',
        `config_path = "${join(this.#dir, 'hosts.d')}"`,
        '',
      ].join('\n'),
    )
    const disk = new Disk('/')
    const { major = 1 } = settingOf('containerd', file, false)
    this.major = major
    const platform = `linux/${process.arch === 'arm64' ? 'arm64' : 'amd64'}`
    disk.write(planSnapshotter({ file, major, socket: snapshotter, dataDir: this.#dir, platform }, disk).edits)
  }

  get socket(): string {
    return join(this.#dir, 'c.sock')
  }

  async start(): Promise<void> {
    const command = ['containerd', '--config', join(this.#dir, 'config.toml')]
    this.#process = this.#capsule.spawn('containerd', command)
    await until('containerd answers', 20, async () => (await this.#capsule.tryExec(this.#ctr('version'))).code === 0)
  }

  async stop(): Promise<void> {
    await this.#process?.stop()
  }

  /** Images of that registry are asked of the mirror first. */
  mirror(registry: string, url: string): void {
    const folder = join(this.#dir, 'hosts.d', registry)
    mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, 'hosts.toml'), `[host."${url}"]\n  capabilities = ["pull", "resolve"]\n`)
  }

  pull(reference: string): Promise<void> {
    return cri(this.socket, 'PullImage', reference)
  }

  /** Returns when nothing of it is here any more that no other image needs. */
  async remove(reference: string): Promise<void> {
    await cri(this.socket, 'RemoveImage', reference)
    await this.ctr('content', 'prune', 'references')
  }

  /** What a container of the image prints. */
  run(reference: string, ...command: string[]): Promise<string> {
    const flags = ['--rm', '--snapshotter', 'shoal', '--fifo-dir', join(this.#dir, 'fifo')]
    return this.ctr('run', ...flags, reference, `run-${crypto.randomUUID()}`, ...command)
  }

  /** A container that goes on. */
  async begin(reference: string, name: string, ...command: string[]): Promise<void> {
    const flags = ['--detach', '--snapshotter', 'shoal', '--fifo-dir', join(this.#dir, 'fifo')]
    await this.ctr('run', ...flags, reference, name, ...command)
  }

  /** What a command prints in a container that runs. */
  exec(name: string, ...command: string[]): Promise<string> {
    const flags = ['--exec-id', crypto.randomUUID(), '--fifo-dir', join(this.#dir, 'fifo')]
    return this.ctr('tasks', 'exec', ...flags, name, ...command)
  }

  async end(name: string): Promise<void> {
    await this.ctr('tasks', 'kill', '--signal', 'KILL', name)
    await until('the container has ended', 10, async () => (await this.ctr('tasks', 'ls')).includes('STOPPED'))
    await this.ctr('containers', 'rm', name)
  }

  /** A line for each snapshot. */
  async snapshots(): Promise<string[]> {
    return (await this.ctr('snapshots', '--snapshotter', 'shoal', 'ls')).trim().split('\n').slice(1)
  }

  /** `info` or `usage` of one. */
  snapshot(what: string, ...args: string[]): Promise<string> {
    return this.ctr('snapshots', '--snapshotter', 'shoal', what, ...args)
  }

  async contents(): Promise<string[]> {
    return (await this.ctr('content', 'ls', '--quiet')).split('\n')
  }

  ctr(...args: string[]): Promise<string> {
    return this.#capsule.exec(this.#ctr(...args))
  }

  /** As another client. */
  ctrIn(namespace: string, ...args: string[]): Promise<string> {
    return this.#capsule.exec(['ctr', '--address', this.socket, '--namespace', namespace, ...args])
  }

  #ctr(...args: string[]): string[] {
    return ['ctr', '--address', this.socket, '--namespace', 'k8s.io', ...args]
  }
}
