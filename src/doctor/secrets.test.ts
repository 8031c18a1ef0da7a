import { describe, expect, test } from 'bun:test'
import { remedies, said } from '../../test/fakes/findings.ts'
import { type ClusterFacts, judgeCluster } from './secrets.ts'
import { waysOf } from './ways.ts'

const cluster: ClusterFacts = { files: [], peerHost: '0.0.0.0' }

describe('cluster', () => {
  const key = { path: '/key', fingerprint: 'aaa' }
  const open = 'warning: the cluster is open: it has no key'
  const cases: [string, ClusterFacts, string[]][] = [
    ['open', cluster, [open]],
    ['open, and for this host alone', { ...cluster, peerHost: '127.0.0.1' }, []],
    ['keyed by the settings', { ...cluster, key }, ['good']],
    ['keyed, as the node says', { ...cluster, node: { admission: 'keyed', key: 'aaa' }, key }, ['good']],
    [
      'another key than that in the file',
      { ...cluster, node: { admission: 'keyed', key: 'bbb' }, key },
      ['problem: the node that runs uses the key bbb, and /key has aaa'],
    ],
    [
      'a key that the node was not given',
      { ...cluster, node: { admission: 'open' }, key },
      ['problem: the node that runs has no key, and /key has aaa'],
    ],
    [
      'no key in the file',
      { ...cluster, key: { path: '/key', wrong: '/key is not a cluster key: it is empty' } },
      ['problem: /key is not a cluster key: it is empty'],
    ],
    [
      'files that others read, or write',
      {
        ...cluster,
        key,
        files: [
          { path: '/key', what: 'cluster key', mode: 0o644 },
          { path: '/login', what: 'logins', mode: 0o666 },
          { path: '/token', what: 'admin token', mode: 0o640 },
        ],
      },
      [
        'warning: /key (cluster key): others than its owner may read it',
        'problem: /login (logins): others than its owner may change it',
      ],
    ],
  ]
  test.each(cases)('%s', (_, facts, expected) => {
    expect(said(judgeCluster(facts, waysOf(false)))).toEqual(expected)
  })

  test('a broken key is replaced by that of the others: another one would put this host outside', () => {
    const facts = { ...cluster, key: { path: '/key', wrong: '/key is not a cluster key: it is empty' } }
    expect(remedies(judgeCluster(facts, waysOf(true)))[0]).toStartWith('copy /key from a node that works ')
  })
})
