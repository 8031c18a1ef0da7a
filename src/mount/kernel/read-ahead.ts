/**
 * How far the kernel reads ahead in a mounted layer. Little while bytes have to be fetched, for each of them costs; much
 * when they are all here, for then only the disk's waiting counts.
 */
import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const folder = '/sys/class/bdi'
const wholeKb = 1024

/** EROFS mounts from files, as the kernel names them there. */
export function readAheads(): string[] {
  try {
    return readdirSync(folder).filter((name) => name.startsWith('erofs-'))
  } catch {
    return []
  }
}

/** All of the layer is here. Where the kernel does not take it, that costs speed and nothing else. */
export function readFarAhead(name: string): void {
  try {
    writeFileSync(join(folder, name, 'read_ahead_kb'), String(wholeKb))
  } catch {
    // The mount is gone, or /sys cannot be written to.
  }
}
