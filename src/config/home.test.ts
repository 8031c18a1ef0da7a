import { describe, expect, test } from 'bun:test'
import type { Flags } from './given.ts'
import type { Host } from './host.ts'
import { load } from './load.ts'
import { ConfigError } from './problem.ts'

const host: Host = {
  root: true,
  home: '/root',
  terminal: false,
  color: false,
  exists: () => false,
  absent: () => true,
  read: (path) => {
    if (path === '/users') return 'ann:x\n'
    throw Object.assign(new Error('ENOENT'), { code: 'ENOENT' })
  },
  space: () => ({ free: 1e9, held: 0 }),
}
const homeOf = (flags: Flags) => load(flags, {}, host).settings.home
const problemsOf = (flags: Flags) => {
  try {
    homeOf(flags)
    return []
  } catch (error) {
    if (error instanceof ConfigError) return error.problems
    throw error
  }
}

describe('--home', () => {
  test.each([
    ['apps.corp/**', { pattern: 'apps.corp/**' }],
    ['ours/*', { pattern: 'docker.io/ours/*' }],
    ['apps.corp/a*=file:///srv/images', { pattern: 'apps.corp/a*', backend: 'file:///srv/images' }],
    ['Apps.corp:5000/**', { pattern: 'apps.corp:5000/**' }],
  ])('%s', (text, expected) => {
    expect(homeOf({ home: [text] }).patterns).toEqual([expected])
  })

  test.each(['apps.corp', 'apps.corp/', 'apps.corp/+(a)', 'apps.corp/x=nowhere', 'apps.corp/x=s3://me:secret@b'])(
    'says what is expected instead of %s, and does not repeat a password',
    (text) => {
      const [problem = ''] = problemsOf({ home: [text] })
      expect(problem).toContain('expected a pattern such as apps.corp/**')
    },
  )

  test.each(['**', '*/*', '*', 'our*/x', '*.corp/**', '**=file:///srv/images'])('%s takes in no registry', (text) => {
    expect(problemsOf({ home: [text] })).toEqual([
      `--home "${text}": expected a registry's name in front, such as apps.corp/**, or docker.io/** for Docker Hub: ` +
        'a wildcard does not stand for registries',
    ])
    expect(homeOf({ home: ['docker.io/**'] }).patterns).toEqual([{ pattern: 'docker.io/**' }])
  })

  test('names a pattern that is there twice', () => {
    expect(problemsOf({ home: ['apps.corp/**', 'apps.corp/**'] })).toEqual(['--home: apps.corp/** is listed twice'])
  })
})

describe('--push', () => {
  test('says who may push, and whether they may delete', () => {
    const all = { push: ['true'], home: ['apps.corp/**'] }
    expect(homeOf(all).push).toEqual({ deletes: false })
    expect(homeOf({ ...all, 'push-users-file': ['/users'], 'push-deletes': ['true'] }).push).toEqual({
      usersFile: '/users',
      deletes: true,
    })
    expect(homeOf({ home: ['apps.corp/**'] }).push).toBeUndefined()
  })

  test('wants a home, a seed, and a file that can be read', () => {
    expect(problemsOf({ push: ['true'], mode: ['peer'], 'push-users-file': ['/none'] })).toEqual([
      "--push: no repository is the cluster's own; add for example --home 'apps.corp/**'",
      '--push: what is pushed is kept by seeds; add seed to --mode',
      '--push-users-file "/none": there is no such file',
    ])
  })

  test('goes with what is about it', () => {
    expect(problemsOf({ home: ['apps.corp/**'], 'push-users-file': ['/users'], 'push-deletes': ['true'] })).toEqual([
      '--push-users-file: nothing can be pushed to this node; give --push too',
      '--push-deletes: nothing can be pushed to this node; give --push too',
    ])
  })
})
