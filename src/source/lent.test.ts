import { expect, test } from 'bun:test'
import { FakeClock } from '../../test/fakes/clock.ts'
import { Secret } from '../config/secret.ts'
import { type Asking, LendingClient, lentMs } from './lent.ts'

const repository = { registry: 'registry.corp', name: 'org/app' }
const nobody: Asking = {
  request: () => Promise.reject(new Error('nothing is asked here')),
  once: () => Promise.reject(new Error('nothing is asked here')),
}

test('who lends is told apart, for as long as it is lent', () => {
  const clock = new FakeClock()
  const client = new LendingClient(nobody, () => nobody, clock)
  const lend = (username: string, to = repository) =>
    client.lend(to, { kind: 'basic', username, password: new Secret('open-sesame') })
  const other = { registry: 'registry.corp', name: 'org/other' }
  expect(client.lender(repository)).toBe(0)
  lend('ann')
  const ann = client.lender(repository)
  expect(ann).not.toBe(0)
  lend('ann')
  expect(client.lender(repository)).toBe(ann)
  expect(client.lender(other)).toBe(0)
  lend('carol')
  expect([0, ann]).not.toContain(client.lender(repository))
  clock.advance(lentMs)
  expect(client.lender(repository)).toBe(0)
})

test('what is lent again stays for its whole time, and takes one timer however often that is', () => {
  const clock = new FakeClock()
  const client = new LendingClient(nobody, () => nobody, clock)
  const lend = () => client.lend(repository, { kind: 'basic', username: 'ann', password: new Secret('open-sesame') })
  for (let n = 0; n < 50; n++) lend()
  clock.advance(lentMs - 1)
  lend()
  expect(clock.pending).toBe(1)
  clock.advance(lentMs - 1)
  expect(client.has(repository)).toBe(true)
  clock.advance(1)
  expect(client.has(repository)).toBe(false)
  expect(clock.pending).toBe(0)
})
