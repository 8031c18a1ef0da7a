/** A kernel with a FUSE file system, as a server sees it: a descriptor that gives whole requests and takes whole answers. */
import { dlopen, FFIType, ptr } from 'bun:ffi'
import { closeSync } from 'node:fs'
import { libc } from '../../src/fuse/libc.ts'
import { inHeader, opcodes, outHeader } from '../../src/fuse/protocol.ts'
import { until } from '../lab/until.ts'

const unix = 1
const seqPacketNonBlocking = 5 | 0o4000 | 0o2000000

export interface FakeAnswer {
  /** 0 for none. */
  readonly errno: number
  readonly body: Uint8Array
}

export class FakeFuse {
  /** The server's. */
  readonly fd: number
  readonly #peer: number
  readonly #answers = new Map<bigint, FakeAnswer>()
  /** Of notices, which are no answers. */
  readonly notices: number[] = []
  #unique = 2n

  constructor() {
    const { symbols } = dlopen('libc.so.6', {
      socketpair: { args: [FFIType.i32, FFIType.i32, FFIType.i32, FFIType.ptr], returns: FFIType.i32 },
    })
    const pair = new Int32Array(2)
    if (symbols.socketpair(unix, seqPacketNonBlocking, 0, ptr(pair)) !== 0) throw new Error('no pair of sockets')
    this.fd = pair[0]!
    this.#peer = pair[1]!
  }

  /** What the kernel asks when a file is read, and the answer to that. */
  async read(node: number, offset: number, size: number): Promise<FakeAnswer> {
    const unique = this.ask(node, offset, size)
    await until('it is answered', 10, async () => this.answer(unique) !== undefined, 2)
    return this.answer(unique)!
  }

  ask(node: number, offset: number, size: number): bigint {
    return this.#send(opcodes.read, node, 40, (view) => {
      view.setBigUint64(inHeader + 8, BigInt(offset), true)
      view.setUint32(inHeader + 16, size, true)
    })
  }

  /** Opens a file, or lets go of one. */
  async tell(what: 'open' | 'release', node: number): Promise<FakeAnswer> {
    const unique = this.#send(opcodes[what], node, what === 'open' ? 8 : 24)
    await until('it is answered', 10, async () => this.answer(unique) !== undefined, 2)
    return this.answer(unique)!
  }

  #send(opcode: number, node: number, length: number, put = (_: DataView) => {}): bigint {
    const unique = this.#unique
    this.#unique += 2n
    const view = new DataView(new ArrayBuffer(inHeader + length))
    view.setUint32(0, view.byteLength, true)
    view.setUint32(4, opcode, true)
    view.setBigUint64(8, unique, true)
    view.setBigUint64(16, BigInt(node), true)
    put(view)
    const bytes = new Uint8Array(view.buffer)
    if (Number(libc().write(this.#peer, ptr(bytes), bytes.length)) !== bytes.length) throw new Error('not asked')
    return unique
  }

  answer(unique: bigint): FakeAnswer | undefined {
    this.#take()
    return this.#answers.get(unique)
  }

  /** Call it when nobody reads from {@link fd} any more. */
  close(): void {
    closeSync(this.fd)
    closeSync(this.#peer)
  }

  #take(): void {
    const room = new Uint8Array(256 * 1024)
    for (;;) {
      const length = Number(libc().read(this.#peer, ptr(room), room.length))
      if (length <= 0) return
      const view = new DataView(room.buffer)
      const [code, unique] = [view.getInt32(4, true), view.getBigUint64(8, true)]
      if (unique === 0n) this.notices.push(code)
      else this.#answers.set(unique, { errno: Math.abs(code), body: room.slice(outHeader, length) })
    }
  }
}
