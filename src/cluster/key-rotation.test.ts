import { expect, test } from 'bun:test'
import { ClusterKey, parseClusterKeys } from './cluster-key.ts'
import { rotate } from './key-rotation.ts'

const old = new ClusterKey(new Uint8Array(32).fill(1))
const start = new TextDecoder().decode(old.file)
const secret = new Uint8Array(32).fill(2)
const bytes = (text: string) => parseClusterKeys(text, 'file').map((key) => key.secret[0])

test('three steps bring a new key in and the old one out', () => {
  const steps = [rotate(start, 'file', secret)]
  steps.push(rotate(steps[0]!.text, 'file', secret))
  steps.push(rotate(steps[1]!.text, 'file', secret))
  expect(steps.map(({ step, text }) => [step, bytes(text)])).toEqual([
    [1, [1, 2]],
    [2, [2, 1]],
    [3, [2]],
  ])
  expect(rotate(steps[2]!.text, 'file', new Uint8Array(32).fill(3)).step).toBe(1)
})

test('before and after each step, what is used by one file is admitted by the other', () => {
  let text = start
  for (let i = 0; i < 3; i++) {
    const next = rotate(text, 'file', secret).text
    expect(bytes(next)).toContain(bytes(text)[0])
    expect(bytes(text).concat(i === 0 ? bytes(next)[0]! : [])).toContain(bytes(next)[0]!)
    text = next
  }
})

test('no step says a secret', () => {
  expect(rotate(start, 'file', secret).said).not.toContain('0202')
})
