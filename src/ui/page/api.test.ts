import { beforeEach, describe, expect, test } from 'bun:test'
import { Api, Refused, Unauthorized } from './api.ts'

const kept = new Map<string, string>()
const keep = {
  getItem: (key: string) => kept.get(key) ?? null,
  setItem: (key: string, value: string) => void kept.set(key, value),
  removeItem: (key: string) => void kept.delete(key),
}
const token = 'correct-horse-battery'

/** Asks for the token as the admin port does. */
const api = new Api(async (_, { method, headers }) => {
  const given = new Headers(headers).get('authorization')
  const refuse = (status: number, message: string) => Response.json({ error: { code: 'x', message } }, { status })
  if (given === null) return refuse(401, 'this port wants a bearer token')
  if (given.includes('ü')) return refuse(400, 'expected the header "Authorization: Bearer <token>"')
  if (given !== `Bearer ${token}`) return refuse(401, 'that is not the token')
  return method === 'DELETE' ? refuse(409, 'it is pinned') : Response.json({ id: 'me' })
}, keep)
beforeEach(() => kept.clear())

describe('the API, asked by the page', () => {
  test('asks for a token first, without a word of blame', async () => {
    const error = await api.get('/api/v1/node').catch((error: unknown) => error)
    expect(error).toBeInstanceOf(Unauthorized)
    expect((error as Unauthorized).message).toBe('')
  })

  test('keeps a token that is right, and forgets one that is wrong', async () => {
    api.token = token
    expect(await api.get<{ id: string }>('/api/v1/node')).toEqual({ id: 'me' })
    for (const wrong of ['wrong', 'wröng', 'no tüken']) {
      api.token = wrong
      await expect(api.get('/api/v1/node')).rejects.toThrow()
    }
    api.token = 'wrong'
    await expect(api.get('/api/v1/node')).rejects.toThrow('not the token of this node')
    expect(kept.size).toBe(0)
  })

  test('passes on why the node refused', async () => {
    api.token = token
    const error = await api.remove('/api/v1/blobs/x').catch((error: unknown) => error)
    expect(error).toBeInstanceOf(Refused)
    expect(error).toMatchObject({ status: 409, message: 'it is pinned' })
  })

  test('says what it can of an answer that is not the node’s', async () => {
    const odd = new Api(async () => new Response('<html>', { status: 502 }), keep)
    await expect(odd.get('/api/v1/node')).rejects.toThrow('the node answered 502')
  })
})
