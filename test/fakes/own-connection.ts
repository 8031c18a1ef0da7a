/** A connection of this process to itself: who is at its other end is looked up in the kernel's tables. */
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

export interface OwnConnection {
  /** As a server has it. */
  readonly socket: Socket
  close(): void
}

export async function ownConnection(): Promise<OwnConnection> {
  const accepted = Promise.withResolvers<Socket>()
  const server = createServer(accepted.resolve).listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1')
  const socket = await accepted.promise
  const close = () => {
    client.destroy()
    socket.destroy()
    server.close()
  }
  return { socket, close }
}
