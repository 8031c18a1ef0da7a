/**
 * Of a name's addresses, one that takes connections: some hosts have no way to the IPv6 ones, and some addresses are of
 * machines that are down. Each has a short lead before the next is tried beside it (RFC 8305), and the first is it.
 */
import { connect, type Socket } from 'node:net'

const leadMs = 250
/** Then it is one that has to do: whoever connects is told what is wrong with it. */
const patienceMs = 4_000

export function firstToAnswer(addresses: readonly string[], port: number): Promise<string | undefined> {
  if (addresses.length === 0) return Promise.resolve(undefined)
  const { promise, resolve } = Promise.withResolvers<string | undefined>()
  const sockets: Socket[] = []
  let next = 0
  let failed = 0
  let lead: Timer | undefined
  let settled = false
  const settle = (address: string | undefined) => {
    settled = true
    clearTimeout(lead)
    clearTimeout(patience)
    for (const socket of sockets) socket.destroy()
    resolve(address)
  }
  const patience = setTimeout(() => settle(addresses[0]), patienceMs)
  const begin = () => {
    clearTimeout(lead)
    const address = addresses[next++]
    if (address === undefined) return
    const socket = connect({ host: address, port })
    sockets.push(socket)
    socket.once('connect', () => settle(address))
    socket.once('error', () => {
      // One that was given up may still say so.
      if (settled) return
      failed++
      if (failed === addresses.length) settle(addresses[0])
      else begin()
    })
    lead = setTimeout(begin, leadMs)
  }
  begin()
  return promise
}
