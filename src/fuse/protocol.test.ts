import { describe, expect, test } from 'bun:test'
import {
  answer,
  attributesAnswer,
  entryAnswer,
  hasResend,
  inHeader,
  initAnswer,
  initIn,
  interruptIn,
  nameIn,
  opcodes,
  outHeader,
  readIn,
  requestIn,
  resendNotice,
} from './protocol.ts'

/** A request as the kernel sends it, with `body` behind its header. */
function asked(opcode: number, node: number, body: Uint8Array, unique = 7n): DataView {
  const view = new DataView(new ArrayBuffer(inHeader + body.length))
  view.setUint32(0, view.byteLength, true)
  view.setUint32(4, opcode, true)
  view.setBigUint64(8, unique, true)
  view.setBigUint64(16, BigInt(node), true)
  new Uint8Array(view.buffer).set(body, inHeader)
  return view
}

describe('what the kernel asks', () => {
  test('a read is of bytes past four gigabytes too', () => {
    const body = new DataView(new ArrayBuffer(40))
    body.setBigUint64(8, 5_000_000_000n, true)
    body.setUint32(16, 131_072, true)
    const view = asked(opcodes.read, 3, new Uint8Array(body.buffer))
    expect(requestIn(view, view.byteLength)).toMatchObject({ opcode: opcodes.read, node: 3, unique: 7n })
    expect(readIn(view)).toEqual({ offset: 5_000_000_000, size: 131_072 })
  })

  test('a request that came again is known by all 64 bits of its name', () => {
    const again = (1n << 63n) | 12n
    const view = asked(opcodes.read, 3, new Uint8Array(40), again)
    const said = answer(requestIn(view, view.byteLength)!.unique, 5)
    expect(new DataView(said.buffer).getBigUint64(8, true)).toBe(again)
    expect(new DataView(said.buffer).getInt32(4, true)).toBe(-5)
  })

  test('a name ends at its zero', () => {
    const bytes = new Uint8Array(asked(opcodes.lookup, 1, new TextEncoder().encode('ab\0cd')).buffer)
    expect(nameIn(bytes, bytes.length)).toBe('ab')
  })

  test('an interrupt names the request that is given up', () => {
    const body = new Uint8Array(new BigUint64Array([44n]).buffer)
    expect(interruptIn(asked(opcodes.interrupt, 0, body))).toBe(44n)
  })

  test('what is shorter than it says is no request', () => {
    const view = asked(opcodes.getattr, 1, new Uint8Array(16))
    expect(requestIn(view, view.byteLength - 1)).toBeUndefined()
    expect(requestIn(view, 8)).toBeUndefined()
  })
})

describe('what is answered', () => {
  test('an old kernel is not told of what it did not offer', () => {
    const body = new DataView(new ArrayBuffer(16))
    body.setUint32(0, 7, true)
    body.setUint32(4, 31, true)
    body.setUint32(12, 1, true)
    const init = initIn(asked(opcodes.init, 0, new Uint8Array(body.buffer)))
    const said = new DataView(initAnswer(init).buffer)
    expect([said.getUint32(0, true), said.getUint32(4, true), said.getUint32(12, true)]).toEqual([7, 31, 1])
    expect(said.getUint32(32, true)).toBe(0)
  })

  test('a kernel that can send again is asked to be able to', () => {
    const said = new DataView(initAnswer({ major: 7, minor: 44, maxReadahead: 131_072, flags: hasResend | 1n }).buffer)
    expect(BigInt(said.getUint32(32, true)) << 32n).toBe(hasResend)
  })

  test('sizes past four gigabytes are whole', () => {
    const size = 6 * 1024 ** 3
    const entry = new DataView(entryAnswer({ node: 9, size, directory: false }).buffer)
    const attributes = new DataView(attributesAnswer({ node: 9, size, directory: false }).buffer)
    expect(entry.byteLength).toBe(128)
    expect(attributes.byteLength).toBe(104)
    expect(Number(entry.getBigUint64(48, true))).toBe(size)
    expect(Number(attributes.getBigUint64(24, true))).toBe(size)
  })

  test('a notice to send again is a header alone', () => {
    const notice = new DataView(resendNotice().buffer)
    expect([notice.getUint32(0, true), notice.getInt32(4, true), notice.byteLength]).toEqual([outHeader, 7, outHeader])
  })
})
