import { expect, test } from 'bun:test'
import { systemClock } from '../clock.ts'
import { Identity } from '../cluster/identity.ts'
import { silentLog } from '../telemetry/log.ts'
import { Seldom } from '../telemetry/seldom.ts'
import { readdress, startHost } from './host.ts'

test('libp2p tells the address that the node is reached at now', async () => {
  const probe = Bun.listen({ hostname: '127.0.0.1', port: 0, socket: { data() {} } })
  const { port } = probe
  probe.stop(true)
  const identity = await Identity.temporary()
  let advertise = '127.0.0.1'
  const host = await startHost({
    identity,
    address: { host: '127.0.0.1', port },
    advertise: () => advertise,
    ring: undefined,
    mdns: false,
    log: silentLog,
    seldom: new Seldom(systemClock),
  })
  try {
    expect(host.getMultiaddrs().map(String)).toEqual([`/ip4/127.0.0.1/tcp/${port}/p2p/${identity.id}`])
    advertise = '10.0.0.7'
    await readdress(host)
    expect(host.getMultiaddrs().map(String)).toEqual([`/ip4/10.0.0.7/tcp/${port}/p2p/${identity.id}`])
    const { addresses } = await host.peerStore.get(host.peerId)
    expect(addresses.map(({ multiaddr }) => String(multiaddr))).toEqual([`/ip4/10.0.0.7/tcp/${port}`])
  } finally {
    await host.stop()
  }
})
