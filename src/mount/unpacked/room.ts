/** Room on the disk for what is about to be mounted: layers that nobody mounts go for it. */
import { statfsSync } from 'node:fs'
import { Failure } from '../../failure.ts'
import { isFull } from './eviction.ts'

/** Left free on the disk by what unpacks a layer of which nobody knows how large it is. */
export const spareBytes = 64 * 1024 * 1024

/** Something that nobody needs goes; false when there is no such thing. */
export type MakeRoom = () => Promise<boolean>

/** Bytes that it may take of the disk of that folder. */
export function roomIn(folder: string): number {
  const { bavail, bsize } = statfsSync(folder)
  return Math.max(0, bavail * bsize - spareBytes)
}

/** Tries again as long as the disk is full and something can go. @throws {Failure} `no-space`; and what `task` throws */
export async function withRoom<T>(makeRoom: MakeRoom, task: () => T | Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await task()
    } catch (error) {
      if (!wantsRoom(error)) throw error
      if (!(await makeRoom())) throw fullDisk(error)
    }
  }
}

/**
 * For a layer of unknown size, of which `task` begins anew each time: before, there is room for `leastBytes`, and after it
 * had too little for twice as much. @throws {Failure} `no-space`; and what `task` throws
 */
export async function withRoomFor<T>(
  leastBytes: number,
  room: () => number,
  makeRoom: MakeRoom,
  task: () => Promise<T>,
): Promise<T> {
  let wanted = leastBytes
  return withRoom(makeRoom, async () => {
    while (room() < wanted && (await makeRoom()));
    wanted = 2 * Math.max(wanted, room())
    return await task()
  })
}

function wantsRoom(error: unknown): boolean {
  return isFull(error) || (error instanceof Failure && error.code === 'no-space')
}

/** As it is told to who mounts. */
export function fullDisk(error: unknown): Failure {
  if (error instanceof Failure) return error
  const reason = error instanceof Error ? error.message : String(error)
  return new Failure('no-space', `${reason}; free some space there`, { cause: error })
}
