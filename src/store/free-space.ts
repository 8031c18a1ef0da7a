/**
 * How much a disk has left. Others write to it too, so it is asked again and again, but not for every piece: between two
 * looks what this store wrote is counted. What it freed counts until the disk says so: file systems that write in
 * transactions do when they have committed it, and whoever believed them meanwhile would free as much once more, and again.
 */
import { statfsSync } from 'node:fs'
import type { Clock } from '../clock.ts'

/** Bytes, or a share of the whole disk. */
export type Share = { readonly bytes: number } | { readonly share: number }

export interface Disk {
  /** Bytes that an unprivileged writer could still write. */
  readonly free: number
  readonly total: number
}

/** A look counts for so long, in ms. */
const lookMs = 1000
/** A disk says within it that something was freed, in ms: btrfs commits every 30 s unless told otherwise. */
const freeingMs = 45_000

export class FreeSpace {
  readonly #keep: Share
  readonly #clock: Clock
  readonly #look: () => Disk
  #disk: Disk | undefined
  #at = 0
  #written = 0
  /** What was freed and the disk has not said yet, the first first. */
  #freeing: { bytes: number; readonly until: number }[] = []

  /** @param keep what is to be left free */
  constructor(keep: Share, clock: Clock, look: () => Disk) {
    this.#keep = keep
    this.#clock = clock
    this.#look = look
  }

  /** Bytes that may still be written before less is free than is to be; negative when that is so already. */
  get room(): number {
    const now = this.#clock.now()
    if (!this.#disk || now - this.#at >= lookMs) {
      this.#at = now
      try {
        this.#saw(this.#look(), now)
      } catch (error) {
        // A disk that fails for a while ends no node: what was seen last is near enough.
        if (!this.#disk) throw error
      }
    }
    const { free, total } = this.#disk!
    const keep = 'bytes' in this.#keep ? this.#keep.bytes : this.#keep.share * total
    const freeing = this.#freeing.reduce((sum, { bytes }) => sum + bytes, 0)
    return free - this.#written + freeing - keep
  }

  /** This store is about to write so much. */
  wrote(bytes: number): void {
    this.#written += bytes
  }

  /** So much of this store was removed. */
  freed(bytes: number): void {
    this.#freeing.push({ bytes, until: this.#clock.now() + freeingMs })
  }

  #saw(disk: Disk, now: number): void {
    let gained = this.#disk ? disk.free - (this.#disk.free - this.#written) : 0
    this.#disk = disk
    this.#written = 0
    for (const freeing of this.#freeing) {
      const shown = Math.min(freeing.bytes, Math.max(0, gained))
      freeing.bytes -= shown
      gained -= shown
    }
    this.#freeing = this.#freeing.filter(({ bytes, until }) => bytes > 0 && until > now)
  }
}

export function diskAt(path: string): () => Disk {
  return () => {
    const { bavail, blocks, bsize } = statfsSync(path)
    return { free: bavail * bsize, total: blocks * bsize }
  }
}
