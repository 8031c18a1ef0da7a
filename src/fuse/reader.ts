/**
 * A thread that reads requests from the FUSE descriptor. What it can answer from a file whose bytes are verified, it
 * answers itself; all else goes to the server's thread, which never waits in a system call. A read of the descriptor
 * does not block: threads wait in poll(2), where an eventfd wakes them when there is something to be told.
 */
import { ptr } from 'bun:ffi'
import { type MessagePort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { ChangeTimes, errno, errnos, libc } from './libc.ts'
import { mostRead, opcodes, outHeader, putAnswerHeader, readIn, requestIn, requestRoom } from './protocol.ts'
import { type FromReader, isReady, type ServedFile, type ToReader } from './served.ts'

export interface ReaderData {
  readonly fuse: number
  readonly wake: number
  readonly port: MessagePort
}

interface Known extends ServedFile {
  readonly bytes: Uint8Array
  readonly changed: BigInt64Array
}

/**
 * So often the descriptor is asked again before the thread goes to sleep, for some hundredths of a millisecond: who reads on
 * asks for the next bytes a moment after it has these, and being woken takes longer than that. Counted, for a clock that is
 * read in so short a loop is believed to stand still by whatever compiles it.
 */
const spins = 100
const pollIn = 1
const { fuse, wake, port } = workerData as ReaderData
const { read, write, pread, poll } = libc()
const times = new ChangeTimes()
const files = new Map<number, Known>()

const asked = new Uint8Array(requestRoom)
const askedView = new DataView(asked.buffer)
const answered = new Uint8Array(outHeader + mostRead)
const answeredView = new DataView(answered.buffer)
// Two of struct pollfd: descriptor, events wanted (16 bits), events there (16 bits).
const polled = new Int32Array([fuse, pollIn, wake, pollIn])
const woken = new Uint8Array(8)
const at = { asked: ptr(asked), answered: ptr(answered), polled: ptr(polled), woken: ptr(woken) }

const tell = (message: FromReader) => port.postMessage(message)

serve()

function serve(): void {
  let left = 0
  for (;;) {
    const length = Number(read(fuse, at.asked, asked.length))
    if (length > 0) {
      take(length)
      left = spins
      continue
    }
    const failed = errno()
    if (failed === errnos.ENODEV) return tell({ ended: 'gone' })
    if (failed !== errnos.EAGAIN || left-- > 0) continue
    poll(at.polled, 2, -1)
    // Asked of the eventfd itself, which does not block. What the kernel had written to `polled` was seen by code that
    // had become hot as it was before: the thread went round and round, and whoever removed a file waited for it for ever.
    if (Number(read(wake, at.woken, woken.length)) !== woken.length) continue
    if (!listen()) return tell({ ended: 'stopped' })
  }
}

/** False when the thread is to end. */
function listen(): boolean {
  for (;;) {
    const received = receiveMessageOnPort(port) as { message: ToReader } | undefined
    if (!received) return true
    const { message } = received
    if ('stop' in message) return false
    if ('add' in message) {
      const { bits, ctime, node } = message.add
      files.set(node, { ...message.add, bytes: new Uint8Array(bits), changed: new BigInt64Array(ctime) })
    } else {
      files.delete(message.remove)
      tell({ removed: message.remove })
    }
  }
}

function take(length: number): void {
  if (askedView.getUint32(4, true) === opcodes.read && answerRead(length)) return
  tell({ request: asked.slice(0, length) })
}

/** False when these bytes are not this thread's to give. */
function answerRead(length: number): boolean {
  const request = requestIn(askedView, length)
  const file = request && files.get(request.node)
  if (!request || !file) return false
  const { offset, size } = readIn(askedView)
  const wanted = Math.max(0, Math.min(size, file.size - offset))
  if (wanted > mostRead || !isReady(file.bytes, file.block, offset, wanted)) return false
  let done = 0
  while (done < wanted) {
    const got = Number(
      pread(file.fd, (at.answered + outHeader + done) as typeof at.answered, wanted - done, offset + done),
    )
    if (got <= 0) return false
    done += got
  }
  // Looked at after the bytes were read: whoever wrote before has changed it.
  if (times.of(file.fd) !== Atomics.load(file.changed, 0)) return false
  putAnswerHeader(answeredView, request.unique, 0, wanted)
  // Whoever asked may have given up meanwhile; that is the kernel's to know.
  write(fuse, at.answered, outHeader + wanted)
  return true
}
