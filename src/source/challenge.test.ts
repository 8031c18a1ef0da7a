import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { parseChallenges } from './challenge.ts'

function parsed(header: string) {
  return parseChallenges(header).map(({ scheme, params }) => [scheme, Object.fromEntries(params)] as const)
}

describe('parseChallenges', () => {
  test.each([
    [
      'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push"',
      [
        [
          'bearer',
          {
            realm: 'https://auth.docker.io/token',
            service: 'registry.docker.io',
            scope: 'repository:a/b:pull,push',
          },
        ],
      ],
    ],
    [
      'Basic realm="x", Bearer realm="y",service="z"',
      [
        ['basic', { realm: 'x' }],
        ['bearer', { realm: 'y', service: 'z' }],
      ],
    ],
    ['BASIC Realm = x', [['basic', { realm: 'x' }]]],
    ['Bearer realm=https://x/y,service=s', [['bearer', { realm: 'https://x/y', service: 's' }]]],
    ['Bearer realm="say \\"hi\\", then go"', [['bearer', { realm: 'say "hi", then go' }]]],
    ['Bearer realm="first", realm="second"', [['bearer', { realm: 'first' }]]],
    [
      'Negotiate, Basic realm="x"',
      [
        ['negotiate', {}],
        ['basic', { realm: 'x' }],
      ],
    ],
    ['Negotiate', [['negotiate', {}]]],
    ['Basic realm="never closed', [['basic', {}]]],
    ['', []],
    ['"', []],
  ])('reads %p', (header, expected) => {
    expect<unknown>(parsed(header)).toEqual(expected)
  })

  test('does not throw or hang on anything', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom('a', ' ', ',', '=', '"', '\\', 'Bearer', 'é')), (parts) => {
        parseChallenges(parts.join(''))
        parseChallenges(parts.join('').repeat(500))
      }),
      { numRuns: 300 },
    )
  })

  test('finds what a quoted parameter was made of', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme-ascii', maxLength: 100 }), (value) => {
        const quoted = value.replace(/["\\]/g, '\\$&')
        expect(parsed(`Bearer realm="${quoted}", service=s`)).toEqual([['bearer', { realm: value, service: 's' }]])
      }),
    )
  })
})
