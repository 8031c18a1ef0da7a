/**
 * How far the kernel reads ahead in a mounted layer. Little while bytes have to be fetched, for each of them costs; much
 * when they are all here, for then only the disk's waiting counts: as far as it reads ahead in files on that disk, or
 * farther.
 */
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const folder = '/sys/class/bdi'
const leastWholeKb = 1024

/** EROFS mounts from files, as the kernel names them there. */
export function readAheads(): string[] {
  try {
    return readdirSync(folder).filter((name) => name.startsWith('erofs-'))
  } catch {
    return []
  }
}

/** Whether that EROFS mount is in use anywhere: its name is no other's until the host is started anew. */
export function isThere(name: string): boolean {
  return existsSync(join(folder, name))
}

/** All of the layer is here, on the disk of that folder. Where the kernel does not take it, that costs speed and nothing else. */
export function readFarAhead(name: string, layers: string): void {
  try {
    const kb = Math.max(leastWholeKb, diskReadAheadKb(layers) ?? 0)
    writeFileSync(join(folder, name, 'read_ahead_kb'), String(kb))
  } catch {
    // The mount is gone, or /sys cannot be written to.
  }
}

/** Of the disk that a file is on; undefined where it is not on one that the kernel knows by a number, as with tmpfs. */
export function diskReadAheadKb(path: string): number | undefined {
  const device = `/sys/dev/block/${deviceNumbers(statSync(path).dev)}`
  // A partition has it from its disk, which is the folder above it, behind the link.
  for (const queue of ['queue', '../queue']) {
    try {
      return Number(readFileSync(`${device}/${queue}/read_ahead_kb`, 'utf8'))
    } catch {}
  }
  return undefined
}

/** As `major:minor`, out of what stat(2) says: glibc's gnu_dev_major and gnu_dev_minor, below 2^32. Pure. */
export function deviceNumbers(dev: number): string {
  return `${(dev >>> 8) & 0xfff}:${(dev & 0xff) | ((dev >>> 12) & 0xfff00)}`
}
