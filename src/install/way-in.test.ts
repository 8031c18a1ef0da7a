import { expect, test } from 'bun:test'
import { wayIn } from './way-in.ts'

const service = { uid: 990, gid: 991 }
const root = { uid: 0, gid: 0 }
const given = (mode: number, owner = root) => {
  const way = wayIn({ mode, ...owner }, service)
  return way && `${way.mode.toString(8)}${way.group ? ' for its group' : ''}`
}

test('a folder that the service can enter stays as it is', () => {
  expect([given(0o755), given(0o711), given(0o710, { uid: 0, gid: 991 }), given(0o700, { uid: 990, gid: 0 })]).toEqual([
    undefined,
    undefined,
    undefined,
    undefined,
  ])
})

test("one of root's alone is opened to the service's group, to enter it and nothing else", () => {
  expect([given(0o700), given(0o750), given(0o770), given(0o2750)]).toEqual([
    '710 for its group',
    '710 for its group',
    '710 for its group',
    '2710 for its group',
  ])
})

test('one that another group may use stays theirs', () => {
  expect(given(0o750, { uid: 0, gid: 4 })).toBe('751')
  expect(given(0o700, { uid: 0, gid: 4 })).toBe('710 for its group')
})

test("one that is the service's own, and shut, is opened where its rights are looked at", () => {
  expect(given(0o705, { uid: 0, gid: 991 })).toBe('715')
  expect(given(0o077, { uid: 990, gid: 0 })).toBe('177')
})

test('before there is that user, it can only be one of the others', () => {
  expect(wayIn({ mode: 0o700, ...root }, undefined)).toEqual({ mode: 0o710, group: true })
  expect(wayIn({ mode: 0o755, ...root }, undefined)).toBeUndefined()
})
