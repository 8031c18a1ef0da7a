import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { type KeepRule, keep } from '../config/rules.ts'
import { type Digest, digestOf } from '../oci/digest.ts'
import { manifestTypes } from '../oci/media.ts'
import { parseTag } from '../oci/reference.ts'
import type { Content } from '../state/state.ts'
import { type Inventory, type Item, planKeeping } from './plan.ts'

const day = 86_400_000
const now = 1_000 * day
const d = (name: string): Digest => digestOf(Buffer.from(name))
const blob = (name: string, age = 200): Content => ({
  ...{ digest: d(name), kind: 'blob', mediaType: 'application/octet-stream' },
  ...{ size: 1, at: now - age * day },
})
const manifest = (
  name: string,
  parts: string[],
  more: { subject?: string; age?: number; index?: true } = {},
): Content => ({
  ...{ digest: d(name), kind: 'manifest', mediaType: more.index ? manifestTypes.ociIndex : manifestTypes.ociManifest },
  ...{ size: 1, at: now - (more.age ?? 200) * day, parts: parts.map(d) },
  ...(more.subject ? { subject: d(more.subject) } : {}),
})
const tag = (name: string, to: string, age: number): Inventory['tags'][number] => ({
  tag: parseTag(name),
  entry: { digest: d(to), mediaType: '', size: 1, at: now - age * day, by: 'ann' },
})
const rule = (terms: string): KeepRule => keep.parse(`apps.corp/**: ${terms}`)
const names = new Map<Digest, string>()
const called = (item: Item) =>
  item.kind === 'tag' ? item.tag : (names.get(item.content.digest) ?? item.content.digest)

function plan(terms: string, tags: Inventory['tags'], contents: Content[], pins: Record<string, string> = {}) {
  const pinnedFor = (digest: Digest) => Object.entries(pins).find(([name]) => d(name) === digest)?.[1]
  const { remove, keep } = planKeeping({ tags, contents, pinnedFor }, rule(terms), now)
  return {
    remove: remove.map(called),
    keep: keep.map(called),
    why: new Map([...remove, ...keep].map((item) => [called(item), item.reason])),
  }
}
for (const name of ['a', 'b', 'c', 'x', 'y', 'z', 'index', 'signature', 'layer', 'config', 'lost'])
  names.set(d(name), name)

describe('tags', () => {
  const three = [tag('v1', 'a', 30), tag('v3', 'c', 10), tag('v2', 'b', 20)]

  test('stay by count: those set last', () => {
    const { remove, keep, why } = plan('tags=2', three, [])
    expect([remove, keep]).toEqual([['v1'], ['v3', 'v2']])
    expect(why.get(parseTag('v1'))).toBe('2 were set later, and 2 stay')
    expect(why.get(parseTag('v3'))).toBe('one of the 2 that were set last')
  })

  test('stay by age', () => {
    const { remove, why } = plan('age=15d', three, [])
    expect(remove).toEqual(['v2', 'v1'])
    expect(why.get(parseTag('v1'))).toBe('set 30d ago, and those of 15d stay')
  })

  test('stay when one of both keeps them', () => {
    expect(plan('tags=1 age=25d', three, []).remove).toEqual(['v1'])
    expect(plan('tags=2 age=5d', three, []).remove).toEqual(['v1'])
    expect(plan('tags=1 age=5d', three, []).remove).toEqual(['v2', 'v1'])
  })

  test('all stay by a rule that is about something else', () => {
    expect(plan('all', three, []).remove).toEqual([])
    expect(plan('idle=7d', three, []).remove).toEqual([])
  })

  test('stay that were set a moment ago, and whose image is pinned', () => {
    expect(plan('tags=1 grace=21d', three, []).remove).toEqual(['v1'])
    const { remove, why } = plan('tags=1', three, [], { a: 'apps.corp/team/app:v1' })
    expect(remove).toEqual(['v2'])
    expect(why.get(parseTag('v1'))).toBe('pinned for apps.corp/team/app:v1')
  })
})

describe('manifests and blobs', () => {
  test('go that no tag leads to; wholes before their parts', () => {
    const contents = [
      blob('x'),
      blob('y'),
      manifest('a', ['x']),
      manifest('b', ['y']),
      manifest('index', ['b'], { index: true }),
    ]
    const { remove, keep, why } = plan('all', [tag('v1', 'a', 100)], contents)
    expect(remove).toEqual(['index', 'b', 'y'])
    expect(keep).toEqual(['v1', 'x', 'a'])
    expect(why.get('x')).toBe(`${d('a').slice(0, 19)} names it`)
    expect([why.get('index'), why.get('b'), why.get('y')]).toEqual([
      'no tag leads to it',
      'no tag leads to it',
      'no manifest names it',
    ])
  })

  test('stay that are about what stays, and what is about those', () => {
    const contents = [
      manifest('a', []),
      manifest('signature', ['x'], { subject: 'a' }),
      manifest('b', ['y'], { subject: 'signature' }),
      manifest('lost', ['z'], { subject: 'c' }),
      ...[blob('x'), blob('y'), blob('z')],
    ]
    const { remove, why } = plan('all', [tag('v1', 'a', 100)], contents)
    expect(remove).toEqual(['lost', 'z'])
    expect(why.get('lost')).toBe('neither a tag leads to it nor its subject stays')
    expect(why.get('signature')).toStartWith('it is about sha256:')
  })

  test('stay that came a moment ago, with all that they name', () => {
    const contents = [manifest('a', ['x'], { age: 0.5 }), blob('x'), blob('y', 0.5), blob('z')]
    expect(plan('all', [], contents).remove).toEqual(['z'])
    expect(plan('all grace=1h', [], contents).remove).toEqual(['a', 'x', 'y', 'z'])
  })

  test('stay that are pinned, with all that they name', () => {
    const contents = [manifest('a', ['x']), blob('x'), blob('y')]
    const { remove, why } = plan('all', [], contents, { a: 'preheat 7' })
    expect(remove).toEqual(['y'])
    expect(why.get('a')).toBe('pinned for preheat 7')
  })

  test('stay that something else needs, with all that they name', () => {
    const inventory = { tags: [], contents: [manifest('a', ['x']), blob('x'), blob('y')], pinnedFor: () => undefined }
    const neededFor = (digest: Digest) => (digest === d('a') ? 'of the backend' : undefined)
    const { remove, keep } = planKeeping({ ...inventory, neededFor }, rule('all'), now)
    expect([remove, keep].map((items) => items.map(called))).toEqual([['y'], ['a', 'x']])
    expect(keep.map(({ reason }) => reason)).toContain('of the backend')
  })

  test('stay where nobody knows what a manifest names', () => {
    const { parts: _, ...unread } = manifest('a', [])
    expect(plan('all', [tag('v1', 'a', 100)], [unread, blob('x')]).remove).toEqual([])
  })
})

test('whatever a repository has: nothing that stays names what goes, and nothing is judged twice', () => {
  const name = fc.nat({ max: 11 }).map((n) => `n${n}`)
  const content = fc.record({
    name,
    parts: fc.array(name, { maxLength: 4 }),
    isManifest: fc.boolean(),
    subject: fc.option(name, { nil: undefined }),
    age: fc.constantFrom(0.1, 5, 200),
  })
  const tags = fc.uniqueArray(fc.record({ name: fc.stringMatching(/^t[0-9]$/), to: name, age: fc.nat({ max: 300 }) }), {
    selector: ({ name }) => name,
  })
  fc.assert(
    fc.property(
      fc.uniqueArray(content, { selector: ({ name }) => name }),
      tags,
      fc.constantFrom('all', 'tags=2', 'age=90d', 'tags=1 age=30d grace=2h'),
      (some, tags, terms) => {
        const contents = some.map(({ name, parts, isManifest, subject, age }) =>
          isManifest ? manifest(name, parts, { age, ...(subject ? { subject } : {}) }) : blob(name, age),
        )
        const inventory = {
          tags: tags.map(({ name, to, age }) => tag(name, to, age)),
          contents,
          pinnedFor: () => undefined,
        }
        const { remove, keep } = planKeeping(inventory, rule(terms), now)
        expect(remove.length + keep.length).toBe(contents.length + tags.length)
        const gone = new Set(remove.flatMap((item) => (item.kind === 'tag' ? [] : [item.content.digest])))
        for (const item of keep) {
          if (item.kind === 'tag') expect(gone.has(item.entry.digest)).toBe(false)
          else for (const part of item.content.parts ?? []) expect(gone.has(part)).toBe(false)
        }
        for (const item of [...remove, ...keep]) expect(item.reason).not.toBe('')
      },
    ),
  )
})
