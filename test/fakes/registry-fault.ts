/** How the fake registry sends content, and every way in which it can be told to do it wrong. */
import { readFileSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Digest } from '../../src/oci/digest.ts'

/** A deviation. Fields combine; all are about requests whose path contains `path`. */
export interface Fault {
  /** Part of the path, `/blobs/`; every request below `/v2/` unless given. */
  path?: string
  method?: string
  /** How many requests it is for; all unless given. */
  times?: number
  /** Answer with this and nothing of the content. */
  status?: number
  headers?: Record<string, string>
  /** Body that goes with `status`. */
  body?: string
  /** Redirect to this URL with the path appended. */
  redirect?: string
  /** Break the connection after this many bytes of the body. */
  cutAfter?: number
  /** Send nothing more after this many bytes of the body, and keep the connection. */
  stallAfter?: number
  /** Never answer. */
  silent?: boolean
  ignoreRange?: boolean
  /** Of a range send so many bytes at most, and say so. */
  mostOfRange?: number
  /** Instead of the true Content-Range. */
  contentRange?: string
  /** Instead of the true Content-Length; `none` sends in chunks. */
  length?: number | 'none'
  /** Send so many bytes of content in all, whatever there is; repeats it. */
  bytes?: number
  /** Bytes per second. */
  rate?: number
  /** The byte at this place of the content is another one. */
  wrongAt?: number
  /** State this Content-Encoding; the bytes are what they are. */
  encoding?: string
  /** Without Docker-Content-Digest. */
  noDigest?: boolean
}

export interface Seen {
  readonly method: string
  readonly path: string
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  status: number
  /** Bytes of the body that were handed to the socket. */
  sent: number
  /** The connection was closed before all of the answer was sent. */
  brokenOff?: true
}

export interface Content {
  readonly bytes: Uint8Array
  readonly type: string
  readonly digest: Digest
}

const chunkBytes = 64 * 1024

export async function send(
  request: IncomingMessage,
  response: ServerResponse,
  content: Content,
  fault: Fault,
  seen: Seen,
): Promise<void> {
  const size = content.bytes.length
  const range = fault.ignoreRange ? null : /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '')
  const start = range ? Number(range[1]) : 0
  if (range && start >= size) {
    seen.status = 416
    response.writeHead(416, { 'content-range': `bytes */${size}`, 'content-length': '0' })
    response.end()
    return
  }
  const asked = range?.[2] ? Math.min(size, Number(range[2]) + 1) : size
  const end = range ? Math.min(asked, start + (fault.mostOfRange ?? size)) : size
  seen.status = range ? 206 : 200
  const length = fault.length ?? end - start
  response.writeHead(seen.status, {
    'content-type': content.type,
    'accept-ranges': 'bytes',
    ...(length === 'none' ? {} : { 'content-length': String(length) }),
    ...(range ? { 'content-range': fault.contentRange ?? `bytes ${start}-${end - 1}/${size}` } : {}),
    ...(fault.noDigest ? {} : { 'docker-content-digest': content.digest }),
    ...(fault.encoding ? { 'content-encoding': fault.encoding } : {}),
    ...fault.headers,
  })
  if (seen.method === 'HEAD') {
    response.end()
    return
  }
  const total = fault.bytes ?? end - start
  const stop = Math.min(total, fault.cutAfter ?? total, fault.stallAfter ?? total)
  const began = performance.now()
  while (seen.sent < stop && !response.destroyed) {
    const at = (start + seen.sent) % size
    const right = content.bytes.subarray(at, Math.min(size, at + Math.min(chunkBytes, stop - seen.sent)))
    const run = fault.wrongAt === undefined ? right : flipped(right, fault.wrongAt - at)
    const flowing = response.write(run)
    seen.sent += run.length
    if (!flowing) await drained(response)
    const ahead = fault.rate === undefined ? 0 : (seen.sent / fault.rate) * 1000 - (performance.now() - began)
    if (ahead > 0) await Bun.sleep(ahead)
  }
  if (fault.stallAfter !== undefined && stop < total) return
  if (fault.cutAfter !== undefined && stop < total) {
    await taken(response.socket)
    response.destroy()
    return
  }
  response.end()
}

/** A copy in which that byte is wrong, if it is one of these. */
function flipped(bytes: Uint8Array, at: number): Uint8Array {
  if (at < 0 || at >= bytes.length) return bytes
  const copy = bytes.slice()
  copy[at]! ^= 0xff
  return copy
}

function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const over = () => {
      response.off('drain', over).off('close', over)
      resolve()
    }
    response.on('drain', over).on('close', over)
  })
}

/**
 * Waits until the client, on this machine, has read all that was written: a connection that is reset takes what lies in
 * the kernel's buffers with it, and how much that is depends on how busy the machine is.
 */
async function taken(socket: Socket | null): Promise<void> {
  const ports = [socket?.localPort, socket?.remotePort]
  for (let tries = 0; tries < 1000 && queued(ports[0] ?? 0, ports[1] ?? 0) > 0; tries++) await Bun.sleep(5)
  // Then a thread of the runtime has it, and the client is given it as soon as both have had a turn at the processor.
  for (let turn = 0; turn < 5; turn++) await Bun.sleep(5)
}

/** Bytes between two ports of this machine, not acknowledged or not read, both ways; from Linux' table of sockets. */
function queued(one: number, other: number): number {
  const hex = (port: number) => `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  let bytes = 0
  for (const table of ['/proc/net/tcp', '/proc/net/tcp6']) {
    for (const line of readFileSync(table, 'utf8').split('\n')) {
      const [, local, remote, , queues = ':'] = line.trim().split(/\s+/)
      const pair = [local?.slice(-5), remote?.slice(-5)]
      if (!pair.includes(hex(one)) || !pair.includes(hex(other))) continue
      const [sending, receiving] = queues.split(':').map((text) => Number.parseInt(text, 16))
      bytes += (sending || 0) + (receiving || 0)
    }
  }
  return bytes
}
