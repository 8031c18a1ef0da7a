import { expect, test } from 'bun:test'
import { fromYaml } from '../config/given.ts'
import { ConfigError, Problems } from '../config/problem.ts'
import { variablesOf, withSettings } from './settings-file.ts'

test('without settings a new file says what it is for, and one that is there stays as it is', () => {
  expect(withSettings(undefined, {}, '/').text).toStartWith('# Settings of shoal')
  expect(withSettings('zone: eu # here\n', {}, '/').text).toBe('zone: eu # here\n')
})

test('what is given is put in, and comments, order and other keys stay', () => {
  const before = '# ours\nzone: eu/fra # the rack is not known\njoin: [10.0.0.1]\n\ncache-size: 20GiB\n'
  const { text } = withSettings(
    before,
    { join: ['10.0.0.2,10.0.0.3', 'host:1'], encrypt: ['true'], mode: ['peer'] },
    '/',
  )
  expect(text).toBe(
    '# ours\nzone: eu/fra # the rack is not known\njoin:\n  - 10.0.0.2\n  - 10.0.0.3\n  - host:1\n\n' +
      'cache-size: 20GiB\nmode:\n  - peer\nencrypt: true\n',
  )
})

test.each([
  ['zone: eu\njoin: [10.0.0.1\n', '/etc/shoal/shoal.yaml:3: '],
  ['zone: eu\nzone: us\n', '/etc/shoal/shoal.yaml:2: Map keys must be unique'],
  ['# ours\n- zone: eu\n', '/etc/shoal/shoal.yaml:2: expected a map of settings'],
  ['# ours\nzone\n', '/etc/shoal/shoal.yaml:2: expected a map of settings'],
])('nothing is put into what is no map, and it is said where it is none: %p', (before, problem) => {
  const said = thrownBy(() => withSettings(before, { mode: ['peer'] }, '/'))
  expect(said).toBeInstanceOf(ConfigError)
  expect(said).toMatchObject({ message: expect.stringMatching(new RegExp(`^${problem}`)) })
})

test.each(['', '\n', '# ours\n', '---\n', '~\n', 'null # none\n'])('what has no settings takes some: %p', (before) => {
  const { text } = withSettings(before, { mode: ['peer'] }, '/')
  const problems = new Problems()
  expect(fromYaml(text, 'shoal.yaml', problems).mode?.map((given) => given.text)).toEqual(['peer'])
  problems.throw()
  if (before.startsWith('#')) expect(text).toStartWith(before)
})

test('a value that is wrong is replaced by one that is given', () => {
  expect(withSettings('zone: [a, b]\n', { zone: ['eu'] }, '/').text).toBe('zone: eu\n')
})

test('rules of what is kept, which have commas in them, are read back as they were given', () => {
  const { text } = withSettings(
    '',
    { keep: ['apps.corp/base/*: all; apps.corp/**: tags=10, age=90d', 'a.io/**: idle=7d'] },
    '/',
  )
  const problems = new Problems()
  expect(fromYaml(text, 'shoal.yaml', problems).keep?.map((given) => given.text)).toEqual([
    'apps.corp/base/*: all',
    'apps.corp/**: tags=10, age=90d',
    'a.io/**: idle=7d',
  ])
  expect(() => problems.throw()).not.toThrow()
})

test('secrets are copied to where the service can read them, and other paths are written in full', () => {
  const written = withSettings('', { 'cluster-key-file': ['../key'], 'data-dir': ['data'] }, '/home/ann/work')
  expect(written.text).toBe('data-dir: /home/ann/work/data\ncluster-key-file: /etc/shoal/cluster.key\n')
  expect(written.copies).toEqual([{ from: '/home/ann/key', path: '/etc/shoal/cluster.key' }])
})

test('variables of a service are read as systemd reads them', () => {
  const text = '# SHOAL_MODE=seed\nSHOAL_DATA_DIR="/srv/my data"\n SHOAL_ZONE=eu/a \nPATH=/bin\n'
  expect(variablesOf(text)).toEqual({ SHOAL_DATA_DIR: '/srv/my data', SHOAL_ZONE: 'eu/a' })
})

function thrownBy(step: () => unknown): unknown {
  try {
    return step()
  } catch (error) {
    return error
  }
}
