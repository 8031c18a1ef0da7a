/** A web server for files on a host of a lab: ranges, a strong ETag, and a log from which tests count what it sent. */
import type { Host } from './host.ts'
import type { LabProcess } from './process.ts'
import { type Access, parseAccessLog } from './registry.ts'

/** Runs in a process of its own. A file that is written again is another version, however short the time between. */
const program = (folder: string, port: number) => `
import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
Bun.serve({ hostname: '0.0.0.0', port: ${port}, fetch(request) {
  const { pathname } = new URL(request.url)
  const path = ${JSON.stringify(folder)} + pathname
  const range = /^bytes=(\\d+)-(\\d*)$/.exec(request.headers.get('range') ?? '')
  const answer = (status, bytes, headers = {}) => {
    console.log('- - - [-] "' + request.method + ' ' + pathname + ' HTTP/1.1" ' + status + ' ' + bytes.length + ' "" ""')
    return new Response(request.method === 'HEAD' ? null : bytes, { status, headers })
  }
  if (!existsSync(path)) return answer(404, new Uint8Array())
  const bytes = readFileSync(path)
  const headers = { etag: '"' + createHash('md5').update(bytes).digest('hex') + '"', 'content-length': String(bytes.length) }
  if (request.method === 'HEAD') return answer(200, new Uint8Array(), headers)
  if (!range) return answer(200, bytes, headers)
  const [start, end] = [Number(range[1]), Math.min(bytes.length, range[2] === '' ? bytes.length : Number(range[2]) + 1)]
  const length = String(end - start)
  return answer(206, bytes.subarray(start, end), { ...headers, 'content-length': length, 'content-range': 'bytes ' + start + '-' + (end - 1) + '/' + bytes.length })
} })`

export class LabFiles {
  readonly url: string
  readonly #process: LabProcess

  private constructor(url: string, process: LabProcess) {
    this.url = url
    this.#process = process
  }

  static async start(host: Host, folder: string, port = 8000): Promise<LabFiles> {
    const server = host.spawn([process.execPath, '-e', program(folder, port)], { log: `files-${port}.log` })
    for (let attempt = 0; attempt < 100 && server.running; attempt++) {
      const { code } = await host.tryExec(['curl', '--silent', '--output', '/dev/null', `http://127.0.0.1:${port}/`])
      if (code === 0) return new LabFiles(`http://${host.address}:${port}`, server)
      await Bun.sleep(50)
    }
    throw new Error(`no file server on ${host.name}: ${server.logged().slice(-1000)}`)
  }

  /** Requests answered so far; the bytes are those it began to send. */
  accesses(path: string): Access[] {
    return parseAccessLog(this.#process.logged()).filter((access) => access.path === path)
  }

  /** Bytes of bodies of a file. */
  sent(path: string): number {
    return this.accesses(path).reduce((sum, { bytes }) => sum + bytes, 0)
  }
}
