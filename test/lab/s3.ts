/**
 * A real object store with the S3 API, OpenStack Swift as Debian has it, in one process (`s3-server.py`): on a host of a
 * lab or on loopback, with one bucket. Nothing of Swift has to be set up.
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { freePort } from './free-port.ts'
import type { Host } from './host.ts'
import { LabProcess } from './process.ts'
import { tryRun } from './run.ts'

export interface S3Init {
  /** The host it runs on; without one, the machine itself. */
  readonly host?: Host
  /** Default: 9000 on a host of a lab, a free one on the machine itself. */
  readonly port?: number
  /** Folder for data and log. */
  readonly dir: string
}

const accessKeyId = 'lab:seed'
const secretAccessKey = 'not-a-secret-to-anybody'
const bucket = 'images'
/** Debian's, for that is where the package goes; another one may come first in the path. */
const python = '/usr/bin/python3'

export class LabS3 {
  readonly endpoint: string
  readonly process: LabProcess
  readonly dir: string

  private constructor(endpoint: string, dir: string, process: LabProcess) {
    this.endpoint = endpoint
    this.dir = dir
    this.process = process
  }

  /** What keeps it from running here; undefined if nothing. */
  static async missing(): Promise<string | undefined> {
    const { code } = await tryRun([python, '-c', 'import swift, eventlet']).catch(() => ({ code: 1 }))
    return code === 0 ? undefined : 'OpenStack Swift is not installed (apt-get install python3-swift)'
  }

  static async start({ host, dir, port = host ? 9000 : freePort() }: S3Init): Promise<LabS3> {
    mkdirSync(dir, { recursive: true })
    const address = host?.address ?? '127.0.0.1'
    const server = join(import.meta.dir, 's3-server.py')
    const command = [python, server, dir, address, String(port), accessKeyId, secretAccessKey, bucket]
    const log = join(dir, 's3.log')
    const process = host ? host.spawn(command, { log }) : new LabProcess(command, { log })
    for (let attempt = 0; attempt < 1200 && process.running; attempt++) {
      if (process.logged().includes('ready')) return new LabS3(`http://${address}:${port}`, dir, process)
      await Bun.sleep(50)
    }
    await process.kill()
    throw new Error(
      `no object store at ${address}:${port}: ${process.logged().trim().slice(-1000) || 'it said nothing'}`,
    )
  }

  /** What `--home '<pattern>=<url>'` takes. */
  url(prefix = ''): string {
    return `s3://${bucket}/${prefix}?endpoint=${this.endpoint}`
  }

  /** What a node needs beside it. */
  get env(): Record<string, string> {
    return { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey }
  }

  /** Gone as a crash would end it; start another one on the same folder and port to have it back. */
  kill(): Promise<void> {
    return this.process.kill()
  }

  async stop(): Promise<void> {
    await this.process.stop()
  }
}
