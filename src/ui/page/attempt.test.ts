import { expect, test } from 'bun:test'
import { Api, Unauthorized } from './api.ts'
import { attempt, type Refusal } from './attempt.ts'

const keep = { getItem: () => null, setItem: () => {}, removeItem: () => {} }

/** What the page is told of an attempt that the node answers so, in its order. */
async function toldOf(answer: () => Response | Promise<Response>, look: () => Promise<void> = () => Promise.resolve()) {
  const api = new Api(async () => answer(), keep)
  const told: unknown[] = []
  const choose = ({ refusal }: { refusal: Refusal | undefined }) => void told.push(refusal)
  const looked = async () => {
    told.push('looked')
    await look()
  }
  const act = () => api.remove('/api/v1/bans/x')
  await attempt({ of: 'bans', act, look: looked }, { choose, failed: (error) => void told.push(error) })
  return told
}

const refuse = (status: number, message: string) => () => Response.json({ error: { code: 'x', message } }, { status })

test('why the node refused is kept for the part where it was tried, in its own words', async () => {
  expect(await toldOf(refuse(404, 'it is not banned'))).toEqual([undefined, { of: 'bans', why: 'it is not banned' }])
})

test('so is that it could not be asked', async () => {
  const gone = () => Promise.reject(new TypeError('Failed to fetch'))
  expect(await toldOf(gone)).toEqual([undefined, { of: 'bans', why: 'Failed to fetch' }])
})

test('what was done is looked at, and why the one before was refused is gone', async () => {
  expect(await toldOf(() => new Response())).toEqual([undefined, 'looked'])
})

test('a look that fails is no refusal of what was done', async () => {
  const error = new Error('the node answered 502')
  expect(
    await toldOf(
      () => new Response(),
      () => Promise.reject(error),
    ),
  ).toEqual([undefined, 'looked', error])
})

test('who has no token is asked for one', async () => {
  expect(await toldOf(refuse(401, 'this port wants a bearer token'))).toEqual([undefined, expect.any(Unauthorized)])
})
