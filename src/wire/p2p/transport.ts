/**
 * libp2p's TCP, made safe to give up on. It hands the dial's abort signal to `net.connect` as well as listening to it
 * itself; so when a dial is aborted, the socket emits an error after libp2p has stopped listening for errors, and that
 * ends the process. Here the socket does not get to see the signal; libp2p's own handler destroys it.
 */
import type { Transport } from '@libp2p/interface'
import { tcp } from '@libp2p/tcp'

type Components = Parameters<ReturnType<typeof tcp>>[0]
type Connect = (address: unknown, options: { signal?: AbortSignal }) => Promise<unknown>

export function safeTcp(): (components: Components) => Transport {
  return (components) => {
    const transport = tcp()(components) as Transport & { _connect: Connect }
    const connect = transport._connect.bind(transport)
    // Not enumerable: read by name as ever, but left out when the options are copied for the socket.
    transport._connect = (address, options) => {
      const { signal, ...rest } = options
      return connect(address, Object.defineProperty(rest, 'signal', { value: signal, enumerable: false }))
    }
    return transport
  }
}
