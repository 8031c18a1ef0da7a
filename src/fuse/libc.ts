/**
 * The system calls that FUSE, mounts and their upgrade need and that the runtime does not offer. Results are as in C:
 * -1 and {@link errno}. On Linux only, with glibc or musl; loaded when first used.
 */
import { FFIType, ptr, read } from 'bun:ffi'
import { cLibrary } from '../c-library.ts'

const { i32, i64, u32, u64, ptr: pointer } = FFIType

const symbols = {
  open: { args: [pointer, i32, u32], returns: i32 },
  close: { args: [i32], returns: i32 },
  read: { args: [i32, pointer, u64], returns: i64 },
  write: { args: [i32, pointer, u64], returns: i64 },
  pread: { args: [i32, pointer, u64, i64], returns: i64 },
  poll: { args: [pointer, u64, i32], returns: i32 },
  eventfd: { args: [u32, i32], returns: i32 },
  fcntl: { args: [i32, i32, i64], returns: i32 },
  statx: { args: [i32, pointer, i32, u32, pointer], returns: i32 },
  flock: { args: [i32, i32], returns: i32 },
  utimensat: { args: [i32, pointer, pointer, i32], returns: i32 },
  llistxattr: { args: [pointer, pointer, u64], returns: i64 },
  lgetxattr: { args: [pointer, pointer, pointer, u64], returns: i64 },
  lsetxattr: { args: [pointer, pointer, pointer, u64, i32], returns: i32 },
  umount2: { args: [pointer, i32], returns: i32 },
  execve: { args: [pointer, pointer, pointer], returns: i32 },
  syscall: { args: [i64, i64, i64, i64, i64, i64, i64], returns: i64 },
  __errno_location: { args: [], returns: pointer },
} as const

const load = () => cLibrary(symbols)

let loaded: ReturnType<typeof load> | undefined

export function libc(): ReturnType<typeof load> {
  loaded ??= load()
  return loaded
}

/** Of the last call of this thread that failed. */
export function errno(): number {
  return read.i32(libc().__errno_location()!, 0)
}

/** As C wants text. Keep a reference to the result while its pointer is in use. */
export function cString(text: string): Uint8Array {
  return new TextEncoder().encode(`${text}\0`)
}

/** The numbers that are dealt with by name. */
export const errnos = {
  EPERM: 1,
  ENOENT: 2,
  EINTR: 4,
  EIO: 5,
  EAGAIN: 11,
  EACCES: 13,
  EBUSY: 16,
  ENODEV: 19,
  ENOTDIR: 20,
  EINVAL: 22,
  ENOSPC: 28,
  EROFS: 30,
  ENOSYS: 38,
  EOPNOTSUPP: 95,
  ENOTCONN: 107,
} as const

export type ErrnoName = keyof typeof errnos

export function nameOfErrno(number: number): string {
  const found = Object.entries(errnos).find(([, value]) => value === number)
  return found ? found[0] : `error ${number}`
}

export const openFlags = { readOnly: 0, readWrite: 2, nonBlocking: 0o4000, closeOnExec: 0o2000000 } as const

/** @throws with the path and the name of the error */
export function openFile(path: string, flags: number, mode = 0): number {
  const fd = libc().open(ptr(cString(path)), flags | openFlags.closeOnExec, mode)
  if (fd < 0) throw systemError(errno(), `open ${path}`)
  return fd
}

export class SystemError extends Error {
  override readonly name = 'SystemError'
  readonly errno: number
  constructor(number: number, what: string) {
    super(`${what}: ${nameOfErrno(number)}`)
    this.errno = number
  }
}

export function systemError(number: number, what: string): SystemError {
  return new SystemError(number, what)
}

const getFlags = 1
const setFlags = 2
const closeOnExec = 1

/** Whether the descriptor goes on into a program that this process turns into, or starts without naming it. */
export function keepOnExec(fd: number, keep: boolean): void {
  const flags = libc().fcntl(fd, getFlags, 0)
  libc().fcntl(fd, setFlags, keep ? flags & ~closeOnExec : flags | closeOnExec)
}

const statxChanged = 0x80
const statxDirect = 0x2000
const emptyPath = 0x1000

/** What offsets must be multiples of when an open file is read past the page cache; undefined where nobody says so. */
export function directAlignment(fd: number): number | undefined {
  const found = new DataView(new ArrayBuffer(256))
  const path = cString('')
  const bytes = new Uint8Array(found.buffer)
  if (libc().statx(fd, ptr(path), emptyPath, statxDirect, ptr(bytes)) !== 0) return undefined
  // struct statx: stx_mask at 0, stx_dio_offset_align at 156; since Linux 6.1, on file systems that know.
  const said = (found.getUint32(0, true) & statxDirect) !== 0
  return (said && found.getUint32(156, true)) || undefined
}

/** Reads the ctime of open files, in ns since 1970; the buffers are made once, for it is asked on every read. */
export class ChangeTimes {
  readonly #buffer = new DataView(new ArrayBuffer(256))
  readonly #path = cString('')

  /** -1n when it cannot be had. */
  of(fd: number): bigint {
    const bytes = new Uint8Array(this.#buffer.buffer)
    if (libc().statx(fd, ptr(this.#path), emptyPath, statxChanged, ptr(bytes)) !== 0) return -1n
    // struct statx: stx_atime at 64, stx_btime at 80, stx_ctime at 96 (seconds, nanoseconds).
    return this.#buffer.getBigInt64(96, true) * 1_000_000_000n + BigInt(this.#buffer.getUint32(104, true))
  }
}
