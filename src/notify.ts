/**
 * sd_notify(3): what a service tells the manager that started it, as datagrams to the socket that $NOTIFY_SOCKET names.
 * Neither Bun nor node:dgram has unix datagrams, so the four calls go to the C library.
 */
import { FFIType, ptr } from 'bun:ffi'
import { cLibrary } from './c-library.ts'

export type Variables = Readonly<Record<string, string | undefined>>

const unix = 1
const datagramCloseOnExec = 2 | 0o2000000
/** Neither waits for a manager that does not read, nor ends the process when there is none any more. */
const dontWaitNoSignal = 0x40 | 0x4000

/** How often the manager wants to hear that the process is well, in ms; undefined: it does not. sd_watchdog_enabled(3) */
export function watchdogMs({ WATCHDOG_USEC, WATCHDOG_PID }: Variables, pid: number): number | undefined {
  if (WATCHDOG_PID !== undefined && WATCHDOG_PID !== String(pid)) return undefined
  const ms = Number(WATCHDOG_USEC) / 1000
  return ms > 0 ? ms : undefined
}

/** sockaddr_un; a name that opens with @ is in no file system, and has a zero in that place. unix(7) */
export function socketAddress(name: string): Uint8Array | undefined {
  const path = new TextEncoder().encode(name)
  if (!/^[/@]./.test(name) || path.length > 107) return undefined
  const address = new Uint8Array(2 + path.length + (name.startsWith('@') ? 0 : 1))
  new DataView(address.buffer).setUint16(0, unix, true)
  address.set(path, 2)
  if (name.startsWith('@')) address[2] = 0
  return address
}

/** A function that sends such a message; undefined where nobody waits for one, or it cannot be had. */
export function notifier({ NOTIFY_SOCKET }: Variables): ((message: string) => void) | undefined {
  const address = NOTIFY_SOCKET === undefined ? undefined : socketAddress(NOTIFY_SOCKET)
  const calls = address && library()
  const socket = calls ? calls.socket(unix, datagramCloseOnExec, 0) : -1
  if (!address || !calls || socket < 0) return undefined
  return (message) => {
    const bytes = new TextEncoder().encode(message)
    calls.sendto(socket, ptr(bytes), BigInt(bytes.length), dontWaitNoSignal, ptr(address), address.length)
  }
}

function library() {
  const { i32, u32, u64, i64, ptr: pointer } = FFIType
  try {
    return cLibrary({
      socket: { args: [i32, i32, i32], returns: i32 },
      sendto: { args: [i32, pointer, u64, i32, pointer, u32], returns: i64 },
    })
  } catch {
    return undefined
  }
}
