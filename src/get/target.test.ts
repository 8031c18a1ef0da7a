import { describe, expect, test } from 'bun:test'
import { Failure } from '../failure.ts'
import { type Job, jobsFor, outputNamed, type Place, parseTarget } from './target.ts'

const digest = `sha256:${'ab'.repeat(32)}`

/** `kind path: what`, or the code of the failure. */
function plan(texts: string[], output?: string, places: Record<string, Place> = {}): string[] {
  try {
    const placeOf = (path: string) => places[path] ?? 'absent'
    return jobsFor(texts.map(parseTarget), output, placeOf).map(said)
  } catch (error) {
    return [Failure.from(error).code]
  }
}

function said(job: Job): string {
  const what = job.kind === 'file' ? job.file.name : job.references.map(({ name }) => name).join('+')
  return `${job.kind} ${job.path}: ${what}`
}

const places: Record<string, Place> = {
  folder: 'folder',
  layout: 'layout',
  'layout.tar': 'layout',
  file: 'file',
  fifo: 'stream',
  'folder/debian-latest': 'file',
  'folder/b': 'folder',
}

describe('what is downloaded goes', () => {
  test.each<[string[], string | undefined, string[]]>([
    [['debian:13'], undefined, ['layout debian-13: library/debian']],
    [['ghcr.io/org/app'], undefined, ['layout app-latest: org/app']],
    [[`org/app@${digest}`], undefined, ['layout app-abababababab: org/app']],
    [['https://files.corp/a/Disk%201.img?v=2#top'], undefined, ['file Disk 1.img: a/Disk%201.img?v=2']],
    [['debian:13', 'http://files.corp/b'], undefined, ['layout debian-13: library/debian', 'file b: b']],
  ])('under its own name without an output: %p', (texts, output, jobs) => {
    expect(plan(texts, output)).toEqual(jobs)
  })

  test.each<[string[], string | undefined, string[]]>([
    [['debian'], 'out', ['layout out: library/debian']],
    [['debian'], 'layout', ['layout layout: library/debian']],
    [['debian'], 'out.tar', ['tar out.tar: library/debian']],
    [['debian'], '-', ['tar -: library/debian']],
    [['debian', 'alpine'], 'out', ['layout out: library/debian+library/alpine']],
    [['debian', 'alpine'], 'out.tar', ['tar out.tar: library/debian+library/alpine']],
    [['https://files.corp/b'], 'out.tar', ['file out.tar: b']],
    [['https://files.corp/b'], '-', ['file -: b']],
    [['https://files.corp/c', 'alpine'], 'folder', ['file folder/c: c', 'layout folder/alpine-latest: library/alpine']],
    [['debian'], 'layout.tar', ['layout layout.tar: library/debian']],
    [['debian'], 'fifo', ['tar fifo: library/debian']],
    [['https://files.corp/b'], 'fifo', ['file fifo: b']],
    [['https://files.corp/b.tar.gz'], 'b.tar.gz', ['file b.tar.gz: b.tar.gz']],
    [['org/app:v1.tar.gz'], undefined, ['layout app-v1.tar.gz: org/app']],
    [['https://files.corp/b'], 'new/', ['file new/b: b']],
    [['org/app:1', 'corp/app:1'], 'new/', ['layout new/app-1: org/app', 'layout new/app-1: corp/app']],
    [['https://files.corp/b', 'https://files.corp/b'], 'new/', ['file new/b: b', 'file new/b: b']],
  ])('where it is said: %p to %s', (texts, output, jobs) => {
    expect(plan(texts, output, places)).toEqual(jobs)
  })

  test.each<[string[], string | undefined, string]>([
    [['debian', 'alpine'], '-', 'bad-request'],
    [['https://files.corp/b', 'https://files.corp/c'], 'out', 'bad-request'],
    [['https://files.corp/b', 'debian'], 'out', 'bad-request'],
    [['https://files.corp/b/'], undefined, 'bad-request'],
    [['https://files.corp/..%2f'], undefined, 'bad-request'],
    [['https://files.corp/a%2F..%2Fetc'], undefined, 'bad-request'],
    [['https://ann:secret@files.corp/b'], undefined, 'bad-request'],
    [['ftp://files.corp/b'], undefined, 'bad-request'],
    [['Not An Image'], undefined, 'bad-name'],
    [['debian', 'alpine'], 'fifo', 'bad-request'],
    [['debian'], 'file', 'bad-request'],
    [['debian'], 'folder', 'bad-request'],
    [['https://files.corp/b'], 'folder', 'bad-request'],
    [['https://files.corp/b'], 'layout', 'bad-request'],
    [['debian'], 'out.tar.gz', 'bad-request'],
    [['debian'], 'out.tgz', 'bad-request'],
  ])('nowhere when that cannot be: %p to %p', (texts, output, code) => {
    expect(plan(texts, output, places)).toEqual([code])
  })

  test.each([
    ['https://files.corp/1/disk.img', 'https://files.corp/2/disk.img', 'disk.img'],
    ['https://files.corp/disk.img?v=1', 'https://files.corp/disk.img?v=2', 'disk.img'],
    ['docker.io/library/debian:13', 'https://files.corp/debian-13', 'debian-13'],
  ])('not over each other: %s and %s', (one, other, name) => {
    const planned = (output?: string) => () => jobsFor([one, other].map(parseTarget), output, () => 'absent')
    const refusal = (path: string) =>
      new Failure('bad-request', `${one} and ${other} would both be ${path}; download them one by one, with --output`)
    expect(planned()).toThrow(refusal(name))
    expect(planned('new/')).toThrow(refusal(`new/${name}`))
  })

  test('to standard output also by the name that the kernel has for it', () => {
    expect(['-', '/dev/stdout', '/dev/fd/1', 'out', '/dev/null'].map(outputNamed)).toEqual([
      '-',
      '-',
      '-',
      'out',
      '/dev/null',
    ])
  })
})

test('nothing that a URL says leads out of the folder', () => {
  for (const last of ['%2e%2e', '..', '%00', 'a%2Fb', '.']) {
    const [job] = plan([`https://files.corp/x/${last}`], 'folder/')
    expect(job === 'bad-request' || /^file folder\/[^/]+: /.test(job!)).toBe(true)
  }
})
