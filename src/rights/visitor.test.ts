import { describe, expect, test } from 'bun:test'
import { nameOf, visitorOf } from './visitor.ts'

const nobody = async () => false
const basic = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`
const seen = (header: string | undefined) => {
  const { shown, credential } = visitorOf(header, nobody)
  const told =
    credential?.kind === 'basic' ? `${credential.username} ${credential.password.reveal()}` : credential?.token.reveal()
  return { shown, told }
}

describe('an Authorization header', () => {
  test.each([
    [undefined, { shown: false, told: undefined }],
    ['', { shown: false, told: undefined }],
    [basic(':'), { shown: false, told: undefined }],
    [basic('ann:open'), { shown: true, told: 'ann open' }],
    [basic('ann:op:en'), { shown: true, told: 'ann op:en' }],
    [basic('ann:'), { shown: true, told: 'ann ' }],
    ['bearer abc.def', { shown: true, told: 'abc.def' }],
  ])('%p says who asks', (header, expected) => {
    expect(seen(header)).toEqual(expected)
  })

  test.each(['Basic', 'Basic %%%', basic('no colon'), basic(':secret'), 'Digest username="ann"', 'Bearer a b'])(
    'that makes no sense, %p, is somebody, and nobody in particular',
    (header) => {
      expect(seen(header)).toEqual({ shown: true, told: undefined })
    },
  )
})

describe('the name of a credential', () => {
  const credentialOf = (header: string) => visitorOf(header, nobody).credential!
  const key = new Uint8Array(32).fill(1)

  test('is the same for the same, and another for all others and for another key', () => {
    const headers = [basic('ann:open'), basic('ann:opem'), basic('an:nopen'), basic('ann:o:pen'), 'Bearer ann:open']
    const names = headers.map((header) => nameOf(credentialOf(header), key))
    expect(new Set(names).size).toBe(headers.length)
    expect(nameOf(credentialOf(headers[0]!), key)).toBe(names[0]!)
    expect(nameOf(credentialOf(headers[0]!), new Uint8Array(32).fill(2))).not.toBe(names[0]!)
  })

  test('does not tell it, nor does printing a visitor', () => {
    const visitor = visitorOf(basic('ann:open-sesame'), nobody)
    for (const text of [nameOf(visitor.credential!, key), JSON.stringify(visitor), Bun.inspect(visitor)]) {
      expect(text).not.toContain('open-sesame')
      expect(text).not.toContain(basic('ann:open-sesame').slice(6))
    }
  })
})
