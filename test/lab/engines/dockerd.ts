/** dockerd with its own containerd, as Debian has it, and the client that talks to it. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Host } from '../host.ts'
import type { LabProcess } from '../process.ts'
import { answering, enclosed, engineDir } from './enclosure.ts'

export interface DockerdInit {
  readonly host: Host
  /** `registry-mirrors`: for images of Docker Hub, in this order. */
  readonly mirrors: readonly string[]
  /** A file to have as `/etc/hosts`. */
  readonly hosts?: string
  /** Default `vfs`, which works on every file system. */
  readonly storage?: 'overlay2' | 'vfs'
  /** PEM file of the only authority it trusts. */
  readonly caFile?: string
}

export class Dockerd {
  /** Version of the dockerd that is installed; 0 where there is none. */
  static readonly major = installed()
  readonly process: LabProcess
  readonly #host: Host
  readonly #env: Record<string, string>

  private constructor(host: Host, process: LabProcess, env: Record<string, string>) {
    this.#host = host
    this.process = process
    this.#env = env
  }

  static async start(init: DockerdInit): Promise<Dockerd> {
    const dir = engineDir(init.host, 'docker')
    mkdirSync(join(dir, 'client'), { recursive: true })
    const socket = `unix://${join(dir, 'docker.sock')}`
    const config = join(dir, 'daemon.json')
    writeFileSync(
      config,
      JSON.stringify({
        'data-root': join(dir, 'data'),
        'exec-root': join(dir, 'exec'),
        pidfile: join(dir, 'docker.pid'),
        hosts: [socket],
        // Networks of the machine and rules of its firewall are not touched.
        bridge: 'none',
        iptables: false,
        ip6tables: false,
        // Copies all of an image for each layer, and the images of tests are small.
        'storage-driver': init.storage ?? 'vfs',
        // The other driver needs systemd, whose socket is not in here.
        'exec-opts': ['native.cgroupdriver=cgroupfs'],
        'registry-mirrors': init.mirrors,
        // After 5 s it tries once more. The usual number has it try for more than a minute until it turns elsewhere.
        'max-download-attempts': 1,
      }),
    )
    const process = init.host.spawn(enclosed(['dockerd', '--config-file', config], init.hosts), {
      log: join(dir, 'dockerd.log'),
      ...(init.caFile === undefined ? {} : { env: { SSL_CERT_FILE: init.caFile, SSL_CERT_DIR: dir } }),
    })
    const env = { DOCKER_HOST: socket, DOCKER_CONFIG: join(dir, 'client') }
    await answering('dockerd', process, () => init.host.tryExec(['docker', 'version'], env))
    return new Dockerd(init.host, process, env)
  }

  /** What `docker <args>` prints. @throws when it exits nonzero */
  async docker(...args: string[]): Promise<string> {
    return (await this.#host.exec(['docker', ...args], this.#env)).trim()
  }

  /** `name@digest` of a pulled image, as the engine noted it. */
  async digestsOf(image: string): Promise<string[]> {
    return JSON.parse(await this.docker('image', 'inspect', '--format', '{{json .RepoDigests}}', image)) as string[]
  }
}

function installed(): number {
  if (!Bun.which('dockerd')) return 0
  const said = Bun.spawnSync(['dockerd', '--version']).stdout.toString()
  return Number(/version (\d+)\./.exec(said)?.[1] ?? 0)
}
