import { describe, expect, test } from 'bun:test'
import { said } from '../../test/fakes/findings.ts'
import { type EngineFacts, judgeEngines } from './engines.ts'

const mirror = 'http://127.0.0.1:4880'
const docker: EngineFacts = {
  engine: 'docker',
  running: true,
  file: '/etc/docker/daemon.json',
  changes: [],
  named: true,
}

describe('engines', () => {
  const unnamed = { changes: ['/x'], named: false }
  const containerd: EngineFacts = { ...docker, engine: 'containerd', ...unnamed }
  const podman: EngineFacts = { ...docker, engine: 'podman', running: false, ...unnamed }
  const cases: [string, EngineFacts[], string[]][] = [
    ['none', [], ['note: there is no docker, containerd, podman or CRI-O on this host']],
    ['one that asks the node', [docker], ['good']],
    ['one that does not', [{ ...docker, ...unnamed }], ['warning: docker is not pointed at the node']],
    [
      'one that was told and does not',
      [{ ...docker, inUse: ['https://mirror.corp/'] }],
      ['warning: /etc/docker/daemon.json names the node, and the dockerd that runs does not use it'],
    ],
    ['one that was told and does', [{ ...docker, inUse: ['http://127.0.0.1:4880/'] }], ['good']],
    [
      'not for all',
      [{ ...docker, changes: ['/x'] }],
      ['note: docker is pointed at the node, but not for all that it could be, or not first'],
    ],
    [
      'a file that is broken',
      [{ ...docker, changes: ['/x'], refusal: '/etc/docker/daemon.json line 3: comma expected' }],
      ['warning: docker cannot be pointed at the node as it is: /etc/docker/daemon.json line 3: comma expected'],
    ],
    [
      'others beside one that does are only noted: the containerd of dockerd, and what does not run',
      [docker, containerd, podman],
      ['good', 'note: containerd is not pointed at the node', 'note: podman is not pointed at the node'],
    ],
    [
      'without one that does they are not',
      [containerd, podman],
      ['warning: containerd is not pointed at the node', 'warning: podman is not pointed at the node'],
    ],
  ]
  test.each(cases)('%s', (_, engines, expected) => {
    expect(said(judgeEngines(engines, mirror))).toEqual(expected)
  })
})
