import { describe, expect, test } from 'bun:test'
import { cachedPart, keep, patternOf, replication } from './rules.ts'

describe('a rule of replication', () => {
  const rest = { deletes: false }
  test.each([
    [
      'apps.corp/**=https://seed.other:4880',
      {
        pattern: 'apps.corp/**',
        origin: 'https://seed.other:4880',
        prefix: '{registry}',
        target: 'https://seed.other:4880',
      },
    ],
    [
      'ours/*=http://10.0.0.9:5000/',
      {
        pattern: 'docker.io/ours/*',
        origin: 'http://10.0.0.9:5000',
        prefix: '{registry}',
        target: 'http://10.0.0.9:5000',
      },
    ],
    [
      '**=https://harbor.corp/mirror',
      { pattern: '**', origin: 'https://harbor.corp', prefix: 'mirror', target: 'https://harbor.corp/mirror' },
    ],
    [
      '**=https://harbor.corp/{name}',
      { pattern: '**', origin: 'https://harbor.corp', prefix: '', target: 'https://harbor.corp/{name}' },
    ],
    [
      '**=https://h.corp/all/{registry}/{name} deletes',
      {
        pattern: '**',
        origin: 'https://h.corp',
        prefix: 'all/{registry}',
        target: 'https://h.corp/all/{registry}/{name}',
        deletes: true,
      },
    ],
  ])('%s', (text, expected) => {
    expect(replication.parse(text)).toEqual({ ...rest, ...expected })
  })

  test.each([
    'apps.corp/**',
    'apps.corp/**=seed.other',
    'apps.corp/**=ftp://seed.other',
    '=https://seed.other',
    'apps.corp=https://seed.other',
    'apps.corp/**=https://me:secret@seed.other',
    'apps.corp/**=https://seed.other?x=1',
    'apps.corp/**=https://seed.other/{tag}',
    'apps.corp/**=https://seed.other/{name}/more',
    'apps.corp/**=https://seed.other/Upper',
    'apps.corp/**=https://seed.other delete',
    `apps.corp/**=https://seed.other/${'a/'.repeat(300)}`,
  ])('%s is refused in words that help, and no password is repeated', (text) => {
    const { error } = replication.safeParse(text)
    expect(error?.issues[0]?.message).toContain("such as 'apps.corp/**=https://seed.other:4880'")
    expect(error?.issues[0]?.message).not.toContain('secret')
  })
})

test('everything is what a pattern of wildcards alone means, Docker Hub or not', () => {
  for (const text of ['**', '*/*', '**/app']) {
    expect(replication.parse(`${text}=https://seed.other`).pattern).toBe(text)
    expect(keep.parse(`${text}: all`).pattern).toBe(text)
  }
})

test.each([
  ['app', 'docker.io/library/app'],
  ['ours/app', 'docker.io/ours/app'],
  ['apps.corp:5000/x', 'apps.corp:5000/x'],
  ['*.corp/**', '*.corp/**'],
  ['{a,b}.corp/**', '{a,b}.corp/**'],
  ['', undefined],
  ['apps.corp', undefined],
  ['a b', undefined],
])('the pattern %p means %p', (text, expected) => {
  expect(patternOf(text)).toBe(expected)
})

describe('a rule of what is kept', () => {
  const [day, hour] = [86_400_000, 3_600_000]
  test.each([
    [
      'apps.corp/**: tags=10, age=90d',
      {
        pattern: 'apps.corp/**',
        all: false,
        tags: 10,
        ageMs: 90 * day,
        graceMs: day,
        text: 'apps.corp/**: tags=10, age=90d',
      },
    ],
    [
      'apps.corp:5000/base/*: all grace=1h',
      { pattern: 'apps.corp:5000/base/*', all: true, graceMs: hour, text: 'apps.corp:5000/base/*: all, grace=1h' },
    ],
    [
      'library/*:  idle=7d',
      {
        pattern: 'docker.io/library/*',
        all: false,
        idleMs: 7 * day,
        graceMs: day,
        text: 'docker.io/library/*: idle=7d',
      },
    ],
  ])('%s', (text, expected) => {
    expect(keep.parse(text)).toEqual(expected)
  })

  test.each([
    ...[
      'apps.corp/**',
      'apps.corp/**: ',
      'apps.corp/**:tags=10',
      ': tags=10',
      'apps.corp/**: tags=0',
      'apps.corp/**: tags=many',
    ],
    ...[
      'apps.corp/**: age=10',
      'apps.corp/**: grace=1h',
      'apps.corp/**: all tags=3',
      'apps.corp/**: tags=3 tags=4',
      'apps.corp/**: all=1',
    ],
    ...['apps.corp/**: idle=5s', 'apps.corp/**: toString=1'],
  ])('%p is refused in words that help', (text) => {
    expect(keep.safeParse(text).error?.issues[0]?.message).toContain("such as 'apps.corp/**: tags=10, age=90d'")
  })
})

test.each([
  ['docker.io/**: idle=7d', 'docker.io/**: idle=7d'],
  ['apps.corp/**: tags=10 idle=7d,grace=1h, age=90d', 'apps.corp/**: idle=7d, grace=1h'],
  ['apps.corp/**: tags=10, grace=1h', undefined],
  ['apps.corp/**: all', undefined],
  ['no rule', undefined],
])('%s: of what is cached it says %s', (text, part) => expect(cachedPart(text)).toBe(part!))
