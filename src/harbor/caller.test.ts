import { describe, expect, test } from 'bun:test'
import { Secret } from '../config/secret.ts'
import { mayCall } from './caller.ts'

const token = new Secret('correct:horse-battery')
const may = (headers: Record<string, string>) => mayCall(new Headers(headers), token)
const basic = (text: string) => ({ authorization: `Basic ${Buffer.from(text).toString('base64')}` })

describe('a caller of the admin port', () => {
  test.each([
    ['the bearer token', { authorization: 'Bearer correct:horse-battery' }],
    ['the password of any user', basic('harbor:correct:horse-battery')],
    ['the password of nobody', basic(':correct:horse-battery')],
    ['a header of its own', { 'x-shoal-token': 'correct:horse-battery' }],
  ])('may call with the token as %s', (_, headers) => {
    expect(may(headers)).toBe(true)
  })

  test.each([
    ['nothing', {}],
    ['another token', { authorization: 'Bearer correct:horse' }],
    ['the token as the user', basic('correct:horse-battery:')],
    ['the token without a scheme', { authorization: 'correct:horse-battery' }],
    ['basic without a password', { authorization: 'Basic !!' }],
    ['an empty header', { 'x-shoal-token': '' }],
  ])('may not with %s', (_, headers) => {
    expect(may(headers)).toBe(false)
  })

  test('is not asked where there is no token', () => {
    expect(mayCall(new Headers(), undefined)).toBe(true)
  })
})
