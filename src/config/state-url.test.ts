import { expect, test } from 'bun:test'
import { formatStateUrl, parseStateUrl } from './state-url.ts'

test('reads host, port, user, database and how to be sure of the server', () => {
  expect(parseStateUrl('postgres://shoal@db.corp/images')).toEqual({
    host: 'db.corp',
    port: 5432,
    user: 'shoal',
    database: 'images',
  })
  expect(parseStateUrl('postgresql://a%40b@[fd00::7]:6432/x?sslmode=verify-full')).toEqual({
    host: 'fd00::7',
    port: 6432,
    user: 'a@b',
    database: 'x',
    sslMode: 'verify-full',
  })
  expect(parseStateUrl('postgres://shoal@localhost/images?host=/run/postgresql')).toMatchObject({
    host: '/run/postgresql',
  })
})

test.each([
  'mysql://shoal@db/images',
  'postgres://shoal:secret@db/images',
  'postgres://db/images',
  'postgres://shoal@db',
  'postgres://shoal@db/images/more',
  'postgres://shoal@db/images?sslmode=maybe',
  'postgres://shoal@db/images?pool=9',
  'postgres://shoal@db/images?host=/run/postgresql',
  'postgres://shoal@localhost/images?host=run',
  'postgres://%zz@db/images',
  'images.db',
])('%s is none', (text) => {
  expect(parseStateUrl(text)).toBeUndefined()
})

test.each([
  'postgres://shoal@db.corp/images',
  'postgres://a%40b@[fd00::7]:6432/x',
  'postgres://shoal@localhost/images?host=/run/postgresql',
])('%s is written as it was read', (text) => {
  expect(formatStateUrl(parseStateUrl(text)!)).toBe(text)
})
