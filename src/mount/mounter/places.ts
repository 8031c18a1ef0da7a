/** Where the mounter keeps what. Pure. */
import { join } from 'node:path'

export interface Places {
  readonly socket: string
  /** Held by the one mounter of these places. */
  readonly lock: string
  /** The FUSE file system: unpacked layers as files. */
  readonly files: string
  /** EROFS mounts, one for each layer. */
  readonly layers: string
  /** The lowest layer of every root file system, so that one layer alone can be one too. */
  readonly empty: string
  readonly state: string
  /** What is written to root file systems that are mounted read-write. */
  readonly writable: string
  /** Of the unpacked layers' own keeper. */
  readonly unpacked: string
  readonly log: string
}

export function placesOf(socket: string, dataDir: string): Places {
  const run = `${socket.replace(/\.sock$/, '')}.d`
  return {
    socket,
    lock: join(run, 'lock'),
    files: join(run, 'files'),
    layers: join(run, 'layers'),
    empty: join(run, 'empty'),
    state: join(dataDir, 'state.json'),
    writable: join(dataDir, 'writable'),
    unpacked: join(dataDir, 'layers'),
    log: join(dataDir, 'mounter.log'),
  }
}
