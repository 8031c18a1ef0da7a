import { expect, test } from 'bun:test'
import { Failure } from '../failure.ts'
import { fileAt, isOrigin, urlOfFile } from './file.ts'
import { repositoryOf } from './reference.ts'

test.each([
  ['https://files.corp/a/B.iso?x=1&y=%2F#top', 'https://files.corp/a/B.iso?x=1&y=%2F'],
  ['HTTP://Files.Corp:80', 'http://files.corp/'],
  ['http://[2001:db8::1]:8080/x', 'http://[2001:db8::1]:8080/x'],
  ['http://0x7f.1/x', 'http://127.0.0.1/x'],
])('%s is a file, whose URL is %s', (text, url) => {
  const file = fileAt(text)
  expect(urlOfFile(file)?.href).toBe(url)
  // As another node reads it.
  expect(fileAt(`${file.registry}/${file.name}`)).toEqual(file)
})

test.each([
  'ftp://files.corp/a',
  '/etc/passwd',
  'https://ann:secret@files.corp/a',
  `https://files.corp/${'a'.repeat(2000)}`,
])('%s is none that nodes read for each other', (text) => {
  expect(() => fileAt(text)).toThrow(Failure)
})

test('no registry can be taken for a file', () => {
  expect(isOrigin('registry.corp:5000')).toBe(false)
  expect(urlOfFile(repositoryOf('registry.corp', 'team/app'))).toBeUndefined()
  expect(() => repositoryOf('https://files.corp', 'a')).toThrow(Failure)
})
