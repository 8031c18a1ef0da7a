import { expect, test } from 'bun:test'
import { remedies, said } from '../../test/fakes/findings.ts'
import { judgeFiles } from './files.ts'

test('fewer files than clients may need is a warning, with the remedy for what supervises the node', () => {
  expect(said(judgeFiles({ limit: 8192, ofNode: true, service: true }))).toEqual(['good'])
  const few = (service: boolean) => judgeFiles({ limit: 1024, ofNode: false, service })
  expect(said(few(true))).toEqual(['warning: a node started from here may have 1024 files open, fewer than 8192'])
  expect([...remedies(few(true)), ...remedies(few(false))]).toEqual([
    'systemctl edit shoal   # [Service] LimitNOFILE=1048576',
    'ulimit -Hn 1048576   # as root, in the shell that starts it',
  ])
})
