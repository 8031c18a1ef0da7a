/** Somebody on the path between two nodes: sees what passes, and may change it. For little data: nothing waits for room. */
import type { Socket, TCPSocketListener } from 'bun'

export interface Relay {
  /** To be asked in the place of the node. */
  readonly url: string
  /** From now on. */
  change(how: (bytes: Buffer) => Buffer | Uint8Array): void
  close(): void
}

interface Line {
  other: Socket<Line> | undefined
  waiting: Buffer[]
}

/** @param how what becomes of bytes, both ways */
export async function relay(url: string, how: (bytes: Buffer) => Buffer | Uint8Array): Promise<Relay> {
  const { hostname, port, protocol } = new URL(url)
  let changed = how
  const pass = (line: Line, bytes: Buffer) => {
    if (line.other) line.other.write(bytes)
    else line.waiting.push(bytes)
  }
  const open = new Set<Socket<Line>>()
  const listener: TCPSocketListener<Line> = Bun.listen<Line>({
    hostname: '127.0.0.1',
    port: 0,
    socket: {
      open(near) {
        open.add(near)
        near.data = { other: undefined, waiting: [] }
        void Bun.connect<Line>({
          hostname,
          port: Number(port),
          socket: {
            open(far) {
              open.add(far)
              far.data = { other: near, waiting: [] }
              near.data.other = far
              for (const bytes of near.data.waiting) far.write(bytes)
            },
            data: (far, bytes) => pass(far.data, Buffer.from(changed(bytes))),
            close: () => void near.end(),
          },
        }).catch(() => void near.end())
      },
      data(near, bytes) {
        // One side's bytes count as requests: spies want to see them too.
        pass(near.data, Buffer.from(changed(bytes)))
      },
      close: (near) => void near.data.other?.end(),
    },
  })
  return {
    url: `${protocol}//127.0.0.1:${listener.port}`,
    change: (how) => {
      changed = how
    },
    close: () => {
      listener.stop(true)
      for (const socket of open) socket.terminate()
    },
  }
}
