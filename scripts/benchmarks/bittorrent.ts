/** The same bytes over BitTorrent: libtorrent, one seed beside the registry, one client on each host. */
import { copyFileSync, linkSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Cluster } from '../../test/lab/cluster.ts'
import type { LabProcess } from '../../test/lab/process.ts'
import { tryRun } from '../../test/lab/run.ts'
import { until } from '../../test/lab/until.ts'
import type { Lap } from './laps.ts'

/** Debian's, for which python3-libtorrent is made; another one may be first in the path. */
const python = '/usr/bin/python3'
const program = join(import.meta.dir, 'bittorrent.py')

/** Undefined where it can run, else why not. */
export async function obstacle(): Promise<string | undefined> {
  const { code } = await tryRun([python, '-c', 'import libtorrent']).catch(() => ({ code: 127 }))
  if (code !== 0) return 'python3-libtorrent is not installed'
}

export class Torrent {
  readonly #cluster: Cluster
  readonly #path: string
  readonly #seed: LabProcess
  readonly #clients: LabProcess[] = []
  readonly #folders: string[] = []
  /** Bytes that have come to all clients. */
  received = 0

  private constructor(cluster: Cluster, path: string, seed: LabProcess) {
    this.#cluster = cluster
    this.#path = path
    this.#seed = seed
  }

  /** A torrent of the image's layers, and its seed. */
  static async start(cluster: Cluster): Promise<Torrent> {
    const host = cluster.lab.host('registry')
    const dir = join(host.dir, 'bittorrent')
    const layers = join(dir, 'layers')
    mkdirSync(layers, { recursive: true })
    for (const { digest } of cluster.layers) {
      linkOrCopy(cluster.registry.blobFile(digest), join(layers, digest.replace(':', '-')))
    }
    const path = join(dir, 'image.torrent')
    const seed = host.spawn([python, program, 'seed', host.address, layers, path])
    await until('the seed of the torrent listens', 60, () => lastLine(seed) !== undefined, 50)
    return new Torrent(cluster, path, seed)
  }

  /** @throws when the client of that host ends before it has everything, or after an hour */
  async fetch(name: string, at: number): Promise<Lap> {
    const host = this.#cluster.lab.host(name)
    const folder = join(host.dir, 'bittorrent')
    mkdirSync(folder)
    this.#folders.push(folder)
    const peers = this.#cluster.lab.hosts.filter((other) => other !== host).map(({ address }) => address)
    const client = host.spawn([python, program, 'fetch', host.address, folder, this.#path, String(at / 1000), ...peers])
    this.#clients.push(client)
    await until(`${name} has the torrent`, 3600, () => lastLine(client) !== undefined)
    const { began, ended } = JSON.parse(lastLine(client)!) as { began: number; ended: number }
    this.received += this.#cluster.image.size
    return { host: name, began: began * 1000, ended: ended * 1000 }
  }

  get pids(): number[] {
    return [this.#seed, ...this.#clients].filter(({ running }) => running).map(({ pid }) => pid)
  }

  /** Ends the clients, and frees the disk. */
  async close(): Promise<void> {
    await Promise.all([this.#seed, ...this.#clients].map((process) => process.kill()))
    for (const folder of this.#folders) rmSync(folder, { recursive: true })
  }
}

/** The line of JSON that it printed. @throws when it ended */
function lastLine(process: LabProcess): string | undefined {
  const said = process.logged().trim()
  if (!process.running) throw new Error(`a libtorrent client ended: ${said.slice(-1000) || 'it said nothing'}`)
  return said.split('\n').find((line) => line.startsWith('{'))
}

/** A hard link costs nothing; across file systems there is none. */
function linkOrCopy(from: string, to: string): void {
  try {
    linkSync(from, to)
  } catch {
    copyFileSync(from, to)
  }
}
