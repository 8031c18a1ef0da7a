import { describe, expect, test } from 'bun:test'
import { remedies, said } from '../../test/fakes/findings.ts'
import { judgePorts, type PortFacts } from './ports.ts'
import { waysOf } from './ways.ts'

const byHand = waysOf(false)
const port: PortFacts = { flag: '--registry-addr', address: { host: '127.0.0.1', port: 4880 }, taken: false }

describe('ports', () => {
  const peer: PortFacts = { flag: '--peer-addr', address: { host: '0.0.0.0', port: 4881 }, taken: true }
  const held = { ...port, taken: true, holder: { pid: 12, program: 'nginx' } }
  const cases: [string, PortFacts[], boolean, string[]][] = [
    ['free ones are good', [port], false, ['good']],
    ['who has one is named', [held], false, ['problem: 127.0.0.1:4880 (--registry-addr) is taken by nginx (pid 12)']],
    [
      'who may not be seen is not',
      [{ ...port, taken: true }],
      false,
      ['problem: 127.0.0.1:4880 (--registry-addr) is taken by another program'],
    ],
    ...[true, false].map((running): [string, PortFacts[], boolean, string[]] => [
      `another user who has one in its place is named, node or not: ${running}`,
      [{ ...held, stranger: { user: 'mallory', address: held.address } }],
      running,
      ['problem: 127.0.0.1:4880 (--registry-addr) is held by the user mallory, and no node of root or the service'],
    ]),
    [
      'one who has the other half of localhost is named by that',
      [{ ...port, taken: true, stranger: { user: 'mallory', address: { host: '::1', port: 4880 } } }],
      true,
      ['problem: [::1]:4880 (--registry-addr) is held by the user mallory, and no node of root or the service'],
    ],
    [
      'where nobody is believed, it is as another program',
      [{ ...peer, stranger: { user: 'mallory', address: peer.address } }],
      true,
      ['good'],
    ],
    ['a node that runs has them', [{ ...port, taken: true }, peer], true, ['good']],
    ['or ought to', [port], true, ['problem: nothing listens on 127.0.0.1:4880 (--registry-addr)']],
    [
      'one for others must not be on loopback',
      [{ ...peer, address: { host: '127.0.0.1', port: 4881 } }],
      true,
      ['warning: other hosts do not reach 127.0.0.1:4881 (--peer-addr)'],
    ],
  ]
  test.each(cases)('%s', (_, ports, running, expected) => {
    expect(said(judgePorts(ports, running, byHand))).toEqual(expected)
  })

  test('a node that has the port is to be asked at its own admin port, and not to be killed', () => {
    const [remedy] = remedies(judgePorts([{ ...held, holder: { pid: 12, program: 'shoal' } }], false, byHand))
    expect(remedy).toStartWith('shoal doctor --admin-addr')
  })
})
