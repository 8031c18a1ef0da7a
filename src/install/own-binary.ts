/** The binary that runs, as a file to be given to other hosts. Run from source there is none. */
import { readFileSync } from 'node:fs'
import { buildInfo } from '../build-info.ts'

export interface OwnBinary {
  readonly version: string
  /** `linux-x64`, as release files are named. */
  readonly platform: string
  readonly file: Blob
  sha256(): Promise<string>
}

/** Open as long as the process lives, also when another version has taken its place in the file system. */
const self = '/proc/self/exe'

export function ownBinary(): OwnBinary | undefined {
  if (!Bun.main.startsWith('/$bunfs/')) return undefined
  const musl = readFileSync('/proc/self/maps', 'latin1').includes('/ld-musl-')
  const file = Bun.file(self)
  let digest: Promise<string> | undefined
  return {
    version: buildInfo.version,
    platform: `linux-${process.arch}${musl ? '-musl' : ''}`,
    file,
    sha256: () => {
      digest ??= sha256Of(file)
      return digest
    },
  }
}

async function sha256Of(file: Blob): Promise<string> {
  const hasher = new Bun.CryptoHasher('sha256')
  for await (const chunk of file.stream()) hasher.update(chunk)
  return hasher.digest('hex')
}
