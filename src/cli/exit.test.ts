import { describe, expect, test } from 'bun:test'
import { FakeContext } from '../../test/fakes/context.ts'
import { report } from './exit.ts'

/** `ENOSPC write /f/x`, as node:fs has it. */
function system(text: string): Error {
  const [code, syscall, path] = text.split(' ')
  return Object.assign(new Error(`${code}: failed, ${syscall} '${path}'`), { code, syscall, ...(path ? { path } : {}) })
}

describe('what the system says is told with what to do, by flags that the command has', () => {
  test.each<[string, string, string]>([
    ['get', 'ENOSPC write /f/x', 'there is no space left for /f/x; free some, or choose another place with --output'],
    [
      'get',
      'EACCES open /etc/x',
      'this user may not use /etc/x; run as root, change who owns it, or choose another place with --output',
    ],
    ['get', 'EEXIST mkdir x', 'x cannot be made: part of the path is a file; choose another --output'],
    [
      'mounter',
      'EROFS mkdir /x',
      '/x is on a read-only file system; make that writable, or choose another place with --data-dir',
    ],
    ['install', 'EROFS open /x', '/x is on a read-only file system; make that writable'],
    ['install', 'ENOSPC write', 'there is no space left; free some'],
    ['keygen', 'EACCES open /etc', 'this user may not use /etc; run as root or change who owns it'],
    ['configure', 'ENOTDIR mkdir /a/b', '/a/b cannot be made: part of the path is a file'],
    ['get', 'EEXIST open x', "EEXIST: failed, open 'x'"],
  ])('%s: %s', (command, error, says) => {
    const context = new FakeContext()
    expect(report(system(error), context, command)).toBe(1)
    expect(context.complained).toEqual([`shoal: ${says}`])
  })
})
