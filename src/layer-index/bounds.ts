/**
 * What a process may use that makes an index: layers are strangers' bytes. It looks at what it has used as it reads,
 * so that it can say what was too much, and the kernel stops it when it no longer looks.
 */
import { FFIType, ptr } from 'bun:ffi'
import { writeFileSync } from 'node:fs'
import { constants, setPriority, totalmem } from 'node:os'
import { cLibrary } from '../c-library.ts'
import { Failure } from '../failure.ts'
import { mostIndexBytes } from './limits.ts'

export interface Bounds {
  /** Of one processor. */
  readonly seconds: number
  readonly memoryBytes: number
}

/** A layer of 64 GiB takes ten minutes and its tree may take 2 GiB; a million files take 2 GiB as well. */
export const standardBounds: Bounds = { seconds: 1800, memoryBytes: 3 * 2 ** 30 }

/**
 * Half of the host's memory is the most on a small one.
 * @throws {Failure} `too-large` where every host would say so, `host-too-small` where a larger one may not
 */
export function holdTo(bounds: Bounds, used: { seconds: number; memoryBytes: number }, hostBytes = totalmem()): void {
  if (used.seconds > bounds.seconds)
    throw new Failure('too-large', `the layer takes more than ${bounds.seconds} seconds of a processor to index`)
  if (used.memoryBytes > bounds.memoryBytes)
    throw new Failure('too-large', `the layer takes more than ${mib(bounds.memoryBytes)} MiB of memory to index`)
  if (used.memoryBytes > hostBytes / 2)
    throw new Failure(
      'host-too-small',
      `to index the layer takes more than ${mib(hostBytes / 2)} MiB, half of this seed's memory: a seed with more can`,
    )
}

const mib = (bytes: number) => Math.floor(bytes / 2 ** 20)

export function usedByThis(): { seconds: number; memoryBytes: number } {
  const { user, system } = process.cpuUsage()
  return { seconds: (user + system) / 1e6, memoryBytes: process.memoryUsage.rss() }
}

/**
 * @param mostFileBytes the longest file that it may write
 *
 * This process gives way to all others, is the first to go when memory runs out, ends with its parent, and is ended
 * by the kernel a while after it should have ended itself. A host that cannot do one of these does the others.
 */
export function confine({ seconds }: Bounds, mostFileBytes = mostIndexBytes): void {
  setPriority(0, constants.priority.PRIORITY_LOW)
  try {
    writeFileSync('/proc/self/oom_score_adj', '1000')
  } catch {
    // Not Linux, or not for this process to say.
  }
  const libc = library()
  if (!libc) return
  libc.prctl(endWithParent, constants.signals.SIGKILL, 0, 0, 0)
  const limit = (resource: number, most: number) => {
    const pair = BigUint64Array.of(BigInt(most), BigInt(most))
    libc.setrlimit(resource, ptr(pair))
  }
  limit(cpuSeconds, seconds + 60)
  limit(fileBytes, mostFileBytes)
  limit(coreBytes, 0)
}

/** prctl(2) and setrlimit(2), as Linux numbers them. */
const endWithParent = 1
const [cpuSeconds, fileBytes, coreBytes] = [0, 1, 4]

function library() {
  const { i32, u64, ptr: pointer } = FFIType
  try {
    return cLibrary({
      prctl: { args: [i32, u64, u64, u64, u64], returns: i32 },
      setrlimit: { args: [i32, pointer], returns: i32 },
    })
  } catch {
    return undefined
  }
}
