/** The C library of this host, for system calls that the runtime does not offer. On Linux only. */
import { dlopen, type FFIFunction } from 'bun:ffi'

/** glibc, or musl, whose one library is named after the machine. @throws where neither has those symbols */
export function cLibrary<Symbols extends Record<string, FFIFunction>>(symbols: Symbols) {
  try {
    return dlopen('libc.so.6', symbols).symbols
  } catch {
    return dlopen(`libc.musl-${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}.so.1`, symbols).symbols
  }
}
