import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { mostDepth, mostValues, parseJson } from './json.ts'

const outcome = (task: () => unknown) => {
  try {
    return { value: task() }
  } catch (error) {
    return { error: error instanceof SyntaxError }
  }
}
const padding = ' '.repeat(20_000)

describe('JSON', () => {
  test('is read as ever, whatever its strings hold', () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 5 }), (text) => {
        expect(parseJson(text + padding)).toEqual(JSON.parse(text))
      }),
    )
    const tricky = { a: '[[[[', b: '\\"[{', 'c"': ['\\', '\\\\"', ',,,'.repeat(mostValues)] }
    expect(parseJson(JSON.stringify(tricky))).toEqual(tricky)
  })

  test('that is broken fails as ever', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        expect(outcome(() => parseJson(text + padding))).toEqual(outcome(() => JSON.parse(text)))
      }),
    )
    for (const text of ['"never ends', '"ends\\"', '{"a":'])
      expect(outcome(() => parseJson(padding + text))).toEqual({ error: true })
  })

  test('of an index of twenty thousand images is read', () => {
    const digest = `sha256:${'0'.repeat(64)}`
    const platform = { os: 'linux', architecture: 'amd64' }
    const manifests = Array.from({ length: 20_000 }, (_, size) => ({ mediaType: 'a/b', digest, size, platform }))
    expect(parseJson(JSON.stringify({ manifests }))).toEqual({ manifests })
  })

  test.each([
    ['deeper than anything', '['.repeat(mostDepth + 1) + ']'.repeat(mostDepth + 1) + padding],
    ['as deep as it is long', '['.repeat(4_000_000)],
    ['deep in an object', `{"layers":${'['.repeat(1_000_000)}${']'.repeat(1_000_000)}}`],
    ['deep by objects', '{"a":'.repeat(500_000)],
    ['many empty lists', `[${'[],'.repeat(mostValues)}[]]`],
    ['many numbers', `[${'1,'.repeat(mostValues + 1)}1]`],
  ])('%s is not parsed at all', (_, text) => {
    const begun = process.memoryUsage().heapUsed
    expect(() => parseJson(text)).toThrow('JSON of more than')
    expect(process.memoryUsage().heapUsed - begun).toBeLessThan(64 * 1024 * 1024)
  })
})
