/** A session that keeps what it was sent. */
import type { NodeCard } from '../../src/cluster/node-info.ts'
import type { Frame, FrameOf } from '../../src/wire/messages.ts'
import type { Session } from '../../src/wire/wire.ts'

export class FakeSession implements Session {
  readonly peer: NodeCard
  readonly sent: Frame[] = []
  closing: string | undefined
  backlog = 0

  constructor(id: string, zone?: string) {
    this.peer = { id, url: `http://${id}.test:4881`, ...(zone ? { zone } : {}) }
  }

  get open(): boolean {
    return this.closing === undefined
  }
  send(frame: Frame): void {
    if (this.open) this.sent.push(frame)
  }
  close(reason: string): void {
    this.closing ??= reason
  }

  /** What was sent since the last call. */
  take(): Frame[] {
    return this.sent.splice(0)
  }
  all<T extends Frame['t']>(type: T): FrameOf<T>[] {
    return this.sent.filter((frame): frame is FrameOf<T> => frame.t === type)
  }
}
