import { expect, test } from 'bun:test'
import { relativeLink } from './link.ts'
import { Upstreams } from './upstreams.ts'

const plain = new Upstreams(new Map([['r.io', [{ url: new URL('https://mirror.corp:5000') }]]]), { onlyListed: true })
const prefixed = new Upstreams(new Map([['r.io', [{ url: new URL('https://harbor.corp/v2/hub') }]]]), {
  onlyListed: true,
})

function next(upstreams: Upstreams, header: string): string | undefined {
  const upstream = upstreams.find('r.io')
  return relativeLink(upstream, new URL(`${upstream.base}/org/app/tags/list`), header)
}

test.each([
  ['</v2/org/app/tags/list?last=b&n=2>; rel="next"', '</v2/org/app/tags/list?last=b&n=2>; rel="next"'],
  ['<https://mirror.corp:5000/v2/org/app/tags/list?last=b>; rel="next"', '</v2/org/app/tags/list?last=b>; rel="next"'],
  ['<?last=b>;rel=next', '</v2/org/app/tags/list?last=b>;rel=next'],
])('a link to the next page %p becomes %p', (header, link) => {
  expect(next(plain, header)).toBe(link)
})

test.each([
  '<https://elsewhere.example/v2/org/app/tags/list?last=b>; rel="next"',
  '<//elsewhere.example/v2/org/app/tags/list?last=b>; rel="next"',
  '</v2/org/other/tags/list?last=b>; rel="next"',
  'no link at all',
])('a link that leads elsewhere is dropped: %p', (header) => {
  expect(next(plain, header)).toBeUndefined()
})

test('the prefix of an upstream is not shown to clients', () => {
  expect(next(prefixed, '</v2/hub/org/app/tags/list?last=b>; rel="next"')).toBe(
    '</v2/org/app/tags/list?last=b>; rel="next"',
  )
})
