import { expect, test } from 'bun:test'
import { type Interfaces, nextPlace, outOfReach, pickPlace } from './advertise.ts'

const v4 = (address: string, internal = false) =>
  ({ address, family: 'IPv4', internal, netmask: '', mac: '', cidr: null }) as const
const v6 = (address: string, internal = false) =>
  ({ address, family: 'IPv6', internal, netmask: '', mac: '', cidr: null, scopeid: 0 }) as const
const lo = [v4('127.0.0.1', true), v6('::1', true)]

test.each<[string, Interfaces, string, string]>([
  [
    'the first address that leads out',
    { lo, eth0: [v6('fe80::1'), v4('10.0.0.7')], eth1: [v4('10.1.0.7')] },
    '0.0.0.0',
    '10.0.0.7',
  ],
  [
    'not the bridge of an engine',
    { lo, docker0: [v4('172.17.0.1')], 'br-1a2b3c4d5e6f': [v4('172.18.0.1')], ens3: [v4('192.168.1.5')] },
    '0.0.0.0',
    '192.168.1.5',
  ],
  [
    'the bridge that leads out, of OpenStack-Ansible',
    { lo, docker0: [v4('172.17.0.1')], 'br-mgmt': [v4('172.29.236.11')] },
    '0.0.0.0',
    '172.29.236.11',
  ],
  [
    'the bridge that leads out, of OVN-Kubernetes',
    { lo, 'ovn-k8s-mp0': [v4('10.128.0.2')], 'br-ex': [v4('192.168.10.5')] },
    '0.0.0.0',
    '192.168.10.5',
  ],
  ...['ovn0', 'vxlan.calico', 'genev_sys_6081', 'weave', 'antrea-gw0', 'incusbr0', 'ztbtovjx4h'].map(
    (name): [string, Interfaces, string, string] => [
      `not the address of ${name}`,
      { lo, [name]: [v4('10.244.0.1')], eth0: [v4('10.0.0.7')] },
      '0.0.0.0',
      '10.0.0.7',
    ],
  ),
  [
    'that of a bridge somebody made of switches',
    { lo, 'ovs-br0': [v4('10.0.0.7')], eth1: [v4('10.1.0.7')] },
    '0.0.0.0',
    '10.0.0.7',
  ],
  ['the only one there is, even so', { lo, veth1: [v4('10.9.0.2')] }, '0.0.0.0', '10.9.0.2'],
  ['not a link-local one', { lo, eth0: [v4('169.254.3.4'), v4('10.0.0.8')] }, '0.0.0.0', '10.0.0.8'],
  ['loopback when there is nothing else', { lo }, '0.0.0.0', '127.0.0.1'],
  ['what the node listens on, if that is one address', { lo, eth0: [v4('10.0.0.7')] }, '127.0.0.1', '127.0.0.1'],
  [
    'IPv6 where that is all and it is listened on',
    { lo, eth0: [v6('fe80::1'), v6('2001:db8::7')] },
    '::',
    '2001:db8::7',
  ],
  ['no IPv6 for a socket that has none', { lo, eth0: [v6('2001:db8::7')] }, '0.0.0.0', '127.0.0.1'],
])('a node advertises %s', (_, interfaces, listen, expected) => {
  expect(pickPlace(interfaces, listen).address).toBe(expected)
})

const one = { lo, eth0: [v4('10.0.0.7')] }
const bridge = [v4('172.17.0.1')]

test.each<[string, readonly Interfaces[], string]>([
  ['keeps its address as long as the host has it', [one, { eth9: [v4('10.0.0.9')], ...one }], '10.0.0.7'],
  ['that started without a network has one when there is one', [{ lo }, one], '10.0.0.7'],
  ['that started with the bridge of an engine alone does not stay there', [{ lo, docker0: bridge }, one], '10.0.0.7'],
  ['follows a lease', [one, { lo, docker0: bridge, eth0: [v4('10.0.0.8')] }], '10.0.0.8'],
  ['that is cut off stays what it was', [one, { lo, docker0: bridge }], '10.0.0.7'],
  ['that is cut off from all stays what it was', [one, {}], '10.0.0.7'],
  ['goes to another network of the host', [one, { lo, wlan0: [v4('192.168.0.2')] }], '192.168.0.2'],
  ['stays there while it lasts', [one, { lo, eth1: [v4('10.1.0.7')] }, { lo, eth1: [v4('10.1.0.7')] }], '10.1.0.7'],
  [
    'goes back to the network that it was on, with whatever address it has there',
    [one, { lo, eth1: [v4('10.1.0.7')] }, { lo, eth1: [v4('10.1.0.7')], eth0: [v4('10.0.0.8')] }],
    '10.0.0.8',
  ],
  ['does not go from one network to another that is there too', [one, { eth1: [v4('10.1.0.7')], ...one }], '10.0.0.7'],
  ['goes to IPv6 where that is all there is', [one, { lo, eth0: [v6('2001:db8::7')] }], '2001:db8::7'],
])('a node %s', (_, looks, expected) => {
  const [first, ...later] = looks
  let at = pickPlace(first!, '::')
  for (const interfaces of later) at = nextPlace(at, interfaces, '::')
  expect(at.address).toBe(expected)
})

const outer6 = [v6('2001:db8::7')]
const six =
  'only IPv6 leads out of this host, and the node listens on IPv4: give it --peer-addr [::]:4881 --p2p-addr [::]:4882'
const none = 'this host has no address that others could reach it at; the node takes the'
test.each<[string, Interfaces, [string, string], string | undefined]>([
  ['IPv6 alone', { lo, eth0: outer6 }, ['0.0.0.0', '0.0.0.0'], six],
  ['IPv6 alone, and the bridge of an engine', { lo, docker0: bridge, eth0: outer6 }, ['0.0.0.0', '0.0.0.0'], six],
  ['IPv6 alone, and is there', { lo, eth0: outer6 }, ['::', '::'], undefined],
  ['IPv6 alone, and is there with one port', { lo, eth0: outer6 }, ['::', '0.0.0.0'], six],
  ['IPv4 as well', { lo, eth0: [...outer6, v4('10.0.0.7')] }, ['0.0.0.0', '0.0.0.0'], undefined],
  ['the bridge of an engine', { lo, docker0: bridge }, ['0.0.0.0', '0.0.0.0'], undefined],
  ['nothing', { lo }, ['0.0.0.0', '0.0.0.0'], `${none} first of IPv4 that it gets`],
  ['nothing by now', {}, ['::', '::'], `${none} first that it gets`],
])('a node on a host that has %s is told what keeps others from it', (_, interfaces, [peer, p2p], why) => {
  const told = outOfReach(interfaces, { host: peer, port: 4881 }, { host: p2p, port: 4882 })
  expect(told).toBe(why as string)
})
