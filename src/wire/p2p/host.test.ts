import { expect, setSystemTime, spyOn, test } from 'bun:test'
import { networkInterfaces } from 'node:os'
import { multiaddr } from '@multiformats/multiaddr'
import { systemClock } from '../../clock.ts'
import { Identity } from '../../cluster/identity.ts'
import type { Address } from '../../listen.ts'
import { digestOf } from '../../oci/digest.ts'
import { silentLog } from '../../telemetry/log.ts'
import { Seldom } from '../../telemetry/seldom.ts'
import { cidOf } from './directory.ts'
import { portAt, readdress, startHost } from './host.ts'

function freePort(): number {
  const probe = Bun.listen({ hostname: '127.0.0.1', port: 0, socket: { data() {} } })
  const { port } = probe
  probe.stop(true)
  return port
}

async function start(address: Address, advertise: () => string) {
  const identity = await Identity.temporary()
  const seldom = new Seldom(systemClock)
  const host = await startHost({ identity, address, advertise, ring: undefined, mdns: false, log: silentLog, seldom })
  return { host, identity }
}

test('libp2p tells the address that the node is reached at now', async () => {
  const port = freePort()
  let advertise = '127.0.0.1'
  const { host, identity } = await start({ host: '127.0.0.1', port }, () => advertise)
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

const hasIPv6 = Object.values(networkInterfaces()).some((each) => each?.some(({ family }) => family === 'IPv6'))

test.if(hasIPv6)('libp2p on all addresses is reached by IPv4 and by IPv6, whichever it tells', async () => {
  const { host: dialler } = await start({ host: '127.0.0.1', port: 0 }, () => '127.0.0.1')
  let advertise = '127.0.0.1'
  const { host } = await start({ host: '::', port: freePort() }, () => advertise)
  const { host: chosen, identity } = await start({ host: '::', port: 0 }, () => '127.0.0.1')
  try {
    for (advertise of ['127.0.0.1', '::1']) {
      await readdress(host)
      const told = host.getMultiaddrs()
      expect(told.map(String)).toEqual([expect.stringContaining(`/${advertise}/tcp/`)])
      const connection = await dialler.dial(told)
      expect(connection.remotePeer.equals(host.peerId)).toBe(true)
      await connection.close()
    }
    for (const [kind, address] of [
      ['ip4', '127.0.0.1'],
      ['ip6', '::1'],
    ] as const) {
      const at = multiaddr(`/${kind}/${address}/tcp/${portAt(chosen, address)}/p2p/${identity.id}`)
      await (await dialler.dial(at)).close()
    }
  } finally {
    await Promise.all([dialler.stop(), host.stop(), chosen.stop()])
  }
})

/** What libp2p has of its own that publishes; private in its types. */
interface Inside {
  readonly reprovider: {
    processRecords(): Promise<void>
    readonly contentRouting: { provide(): AsyncIterable<unknown> }
  }
}

test('libp2p does not publish by itself what the node published days ago', async () => {
  const { host } = await start({ host: '127.0.0.1', port: 0 }, () => '127.0.0.1')
  const { reprovider } = host.services.dht as unknown as Inside
  try {
    await Array.fromAsync(host.services.dht.provide(cidOf(digestOf(Buffer.from('a blob')))))
    const published = spyOn(reprovider.contentRouting, 'provide')
    for (const hours of [25, 49, 1000]) {
      setSystemTime(new Date(Date.now() + hours * 3_600_000))
      await reprovider.processRecords()
      await Bun.sleep(5)
    }
    expect(published).not.toHaveBeenCalled()
  } finally {
    setSystemTime()
    await host.stop()
  }
})
