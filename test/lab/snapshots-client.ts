/** A snapshotter as containerd sees it: gRPC on its socket, and what it is told to mount mounted. */
import { existsSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import {
  type Client,
  credentials,
  Metadata,
  makeGenericClientConstructor,
  type ServiceError,
  status,
} from '@grpc/grpc-js'
import { z } from 'zod'
import { snapshotsService } from '../../src/snapshotter/proto.ts'

const mountSchema = z.object({ type: z.string(), source: z.string(), options: z.array(z.string()) })
const mountsSchema = z.object({ mounts: z.array(mountSchema) })
const timeSchema = z
  .object({ seconds: z.number(), nanos: z.number() })
  .transform((t) => t.seconds * 1000 + t.nanos / 1e6)
const infoSchema = z.object({
  name: z.string(),
  parent: z.string(),
  kind: z.string(),
  createdAt: timeSchema,
  updatedAt: timeSchema,
  labels: z.record(z.string(), z.string()),
})
export type Mounts = z.infer<typeof mountSchema>[]
export type SnapshotInfo = z.infer<typeof infoSchema>
type Labels = Record<string, string>

const SnapshotsClient = makeGenericClientConstructor(snapshotsService, 'Snapshots')

export class SnapshotterClient {
  readonly #client: Client
  readonly #metadata = new Metadata()
  /** Where things are mounted. */
  readonly #dir: string
  #mounted: string[] = []
  #number = 0

  constructor(socket: string, dir: string, namespace = 'default') {
    this.#client = new SnapshotsClient(`unix://${socket}`, credentials.createInsecure())
    this.#metadata.set('containerd-namespace', namespace)
    this.#dir = dir
    mkdirSync(dir, { recursive: true })
  }

  async prepare(key: string, parent = '', labels: Labels = {}): Promise<Mounts> {
    return mountsSchema.parse(await this.#ask('Prepare', { key, parent, labels })).mounts
  }

  async view(key: string, parent = '', labels: Labels = {}): Promise<Mounts> {
    return mountsSchema.parse(await this.#ask('View', { key, parent, labels })).mounts
  }

  async mounts(key: string): Promise<Mounts> {
    return mountsSchema.parse(await this.#ask('Mounts', { key })).mounts
  }

  async commit(name: string, key: string, labels: Labels = {}, parent = ''): Promise<void> {
    await this.#ask('Commit', { name, key, labels, parent })
  }

  async remove(key: string): Promise<void> {
    await this.#ask('Remove', { key })
  }

  async cleanup(): Promise<void> {
    await this.#ask('Cleanup', {})
  }

  async stat(key: string): Promise<SnapshotInfo> {
    return z.object({ info: infoSchema }).parse(await this.#ask('Stat', { key })).info
  }

  async usage(key: string): Promise<{ size: number; inodes: number }> {
    return z.object({ size: z.number(), inodes: z.number() }).parse(await this.#ask('Usage', { key }))
  }

  async update(info: object, ...paths: string[]): Promise<SnapshotInfo> {
    const updateMask = paths.length > 0 ? { paths } : null
    return z.object({ info: infoSchema }).parse(await this.#ask('Update', { info, updateMask })).info
  }

  async list(...filters: string[]): Promise<SnapshotInfo[]> {
    const { path, requestSerialize, responseDeserialize } = snapshotsService.List!
    const call = this.#client.makeServerStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      { filters },
      this.#metadata,
    )
    const infos: SnapshotInfo[] = []
    return new Promise((resolve, reject) => {
      call.on('data', (message) => infos.push(...z.object({ info: z.array(infoSchema) }).parse(message).info))
      call.on('error', (error: ServiceError) => reject(new Error(status[error.code])))
      call.on('end', () => resolve(infos))
    })
  }

  /** Runs `work` with the folder in which the snapshot is mounted. */
  async within<T>(mounts: Mounts, work: (dir: string) => T | Promise<T>): Promise<T> {
    const dir = this.mount(mounts)
    try {
      return await work(dir)
    } finally {
      this.unmount(dir)
    }
  }

  mount(mounts: Mounts): string {
    const dir = join(this.#dir, String(++this.#number))
    mkdirSync(dir)
    for (const { type, source, options } of mounts) {
      if (type === 'bind') {
        run(['mount', '--rbind', source, dir])
        this.#mounted.push(dir)
        if (options.includes('ro')) run(['mount', '-o', 'remount,bind,ro', dir])
        continue
      }
      // One page of options is all that mount(2) takes; containerd shortens them in the same way.
      const lower =
        options
          .find((option) => option.startsWith('lowerdir='))
          ?.slice(9)
          .split(':') ?? []
      const cwd = /^.*\/snapshots(?=\/\d+\/fs$)/.exec(lower[0] ?? '')?.[0] ?? '/'
      const short = lower.map((path) => path.replace(`${cwd}/`, '')).join(':')
      const rest = options.filter((option) => !option.startsWith('lowerdir='))
      run(['mount', '-t', type, source, '-o', [...rest, `lowerdir=${short}`].join(','), dir], cwd)
      this.#mounted.push(dir)
    }
    return dir
  }

  unmount(dir: string): void {
    run(['umount', '-l', dir])
    this.#mounted = this.#mounted.filter((each) => each !== dir)
  }

  close(): void {
    for (const dir of this.#mounted) Bun.spawnSync(['umount', '-l', dir])
    this.#client.close()
    if (existsSync(this.#dir)) rmSync(this.#dir, { recursive: true, force: true })
  }

  /** Rejects with the name of the gRPC status and the sentence. */
  #ask(method: string, request: object): Promise<unknown> {
    const definition = snapshotsService[method]
    if (!definition) throw new Error(`there is no ${method}`)
    const { path, requestSerialize, responseDeserialize } = definition
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        this.#metadata,
        (error, value) => (error ? reject(new Error(`${status[error.code]}: ${error.details}`)) : resolve(value)),
      )
    })
  }
}

function run(command: string[], cwd = '/'): void {
  const { exitCode, stderr } = Bun.spawnSync(command, { cwd })
  if (exitCode !== 0) throw new Error(`${command.join(' ').slice(0, 300)}: ${stderr.toString().trim()}`)
}
