import { describe, expect, test } from 'bun:test'
import { said } from '../../test/fakes/findings.ts'
import type { MemberFacts } from '../admin/view.ts'
import { judgeMembers, type MembersFacts } from './members.ts'
import { waysOf } from './ways.ts'

const byHand = waysOf(false)
const alone: MembersFacts = { reached: new Map(), joins: [], mdns: true }

describe('members', () => {
  const member = (id: string, version = '1.0', self = false): MemberFacts => ({
    id,
    url: `http://10.0.0.${id}:4881`,
    modes: ['peer'],
    version,
    self,
    secondsSinceHeard: 0,
  })
  const self = member('1', '1.0', true)
  const reached = (...failed: string[]) =>
    new Map(
      ['2', '3'].map((id) => {
        const where = `http://10.0.0.${id}:4881`
        return [id, failed.includes(id) ? { where, failed: 'no answer' } : { where }]
      }),
    )
  const three = [self, member('2'), member('3')]
  const silent = { where: '10.0.0.9:4882', failed: 'no answer' }
  const cases: [string, MembersFacts, string[]][] = [
    ['no node, no --join: nothing to say', alone, []],
    ['alone', { ...alone, members: [self] }, ['note: this node is alone: multicast DNS has found no other']],
    [
      'alone without a way to find others',
      { ...alone, members: [self], mdns: false },
      ['note: this node is alone: it has neither --join nor multicast DNS'],
    ],
    ['all within reach', { ...alone, members: three, reached: reached() }, ['good']],
    [
      'one of two is not',
      { ...alone, members: three, reached: reached('3') },
      ['warning: 1 of 2 members do not answer at their peer port: http://10.0.0.3:4881 (no answer)'],
    ],
    [
      'none is',
      { ...alone, members: three, reached: reached('2', '3') },
      [
        'problem: 2 of 2 members do not answer at their peer port: http://10.0.0.2:4881 (no answer), http://10.0.0.3:4881 (no answer)',
      ],
    ],
    [
      'a node that is to be started finds those of its --join',
      { ...alone, joins: [{ where: '10.0.0.9:4882' }] },
      ['good'],
    ],
    [
      'or nobody',
      { ...alone, joins: [silent] },
      ['problem: nobody named by --join answers: 10.0.0.9:4882 (no answer)'],
    ],
    [
      'a seed that is away matters less while others are there',
      { ...alone, members: three, reached: reached(), joins: [silent] },
      ['warning: named by --join, and does not answer: 10.0.0.9:4882 (no answer)'],
    ],
    [
      'those of --join answer and are no members: another key, or version',
      { ...alone, members: [self], joins: [{ where: '10.0.0.9:4882' }] },
      ['problem: the nodes of --join answer (10.0.0.9:4882), and none is a member'],
    ],
    [
      'other versions',
      { ...alone, members: [self, member('2'), member('3', '2.0')], reached: reached() },
      ['warning: members run different versions: 1.0 on 2, 2.0 on 1'],
    ],
  ]
  test.each(cases)('%s', (_, facts, expected) => {
    expect(said(judgeMembers(facts, byHand))).toEqual(expected)
  })
})
