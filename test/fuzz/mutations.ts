/**
 * Inputs that are nearly right: a right one, changed in a few places the way attackers and broken programs change them.
 * Bytes at random are refused by the first check there is; what finds bugs passes it.
 */
import fc from 'fast-check'

/** Fragments that parsers trip over. */
const nasty = [
  ...[
    '',
    '\0',
    '\r\n',
    '\r\n\r\n',
    '/',
    '//',
    '../',
    '%2e%2e%2f',
    '%00',
    '?',
    '#',
    '@',
    ':',
    ',',
    '=',
    '"',
    '\\',
    '{',
    '[',
  ],
  ...['null', '-1', '0', '1e309', '9007199254740993', '0.1', 'NaN', 'true', '[]', '{}', '"__proto__"', 'constructor'],
  ...['sha256:', 'sha512:', 'localhost', '127.0.0.1', '[::1]', '169.254.169.254', 'bytes=0-', 'bytes=-1', 'chunked'],
  ...['\u202e', '\ud800', '\u0130', 'ÿ', '💥', 'A'.repeat(300), 'a/'.repeat(200), '['.repeat(500), '0'.repeat(400)],
]

type Change =
  | { readonly do: 'cut'; readonly at: number; readonly length: number }
  | { readonly do: 'put'; readonly at: number; readonly text: string }
  | { readonly do: 'swap'; readonly at: number; readonly length: number; readonly text: string }
  | { readonly do: 'repeat'; readonly at: number; readonly length: number; readonly times: number }
  | { readonly do: 'flip'; readonly at: number; readonly bit: number }
  | { readonly do: 'graft'; readonly at: number; readonly from: number; readonly length: number }

/** Where in the text, as a share of it in parts per thousand. */
const at = fc.nat(1000)
const length = fc.oneof(fc.nat(3), fc.nat(60))
const text = fc.oneof(fc.constantFrom(...nasty), fc.string({ maxLength: 8, unit: 'binary' }))

const change: fc.Arbitrary<Change> = fc.oneof(
  fc.record({ do: fc.constant('cut' as const), at, length }),
  fc.record({ do: fc.constant('put' as const), at, text }),
  fc.record({ do: fc.constant('swap' as const), at, length, text }),
  fc.record({ do: fc.constant('repeat' as const), at, length, times: fc.nat(40) }),
  fc.record({ do: fc.constant('flip' as const), at, bit: fc.nat(7) }),
  fc.record({ do: fc.constant('graft' as const), at, from: at, length }),
)

function applied(input: string, change: Change): string {
  const at = Math.floor((input.length * change.at) / 1000)
  const [before, after] = [input.slice(0, at), input.slice(at)]
  switch (change.do) {
    case 'cut':
      return before + after.slice(change.length)
    case 'put':
      return before + change.text + after
    case 'swap':
      return before + change.text + after.slice(change.length)
    case 'repeat':
      return before + after.slice(0, change.length).repeat(change.times) + after
    case 'flip':
      return before + String.fromCharCode((after.charCodeAt(0) || 0) ^ (1 << change.bit)) + after.slice(1)
    case 'graft': {
      const from = Math.floor((input.length * change.from) / 1000)
      return before + input.slice(from, from + change.length) + after
    }
  }
}

/** One of `corpus`, changed in up to four places; now and then not at all. */
export function mutated(corpus: readonly string[]): fc.Arbitrary<string> {
  return fc
    .tuple(fc.constantFrom(...corpus), fc.array(change, { maxLength: 4 }))
    .map(([input, changes]) => changes.reduce(applied, input))
}
