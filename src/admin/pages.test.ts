import { expect, test } from 'bun:test'
import { foreign, type Sent } from './pages.ts'

const command: Sent = { method: 'POST', host: '127.0.0.1:4883', origin: undefined, site: undefined }

test.each<[string, Partial<Sent>, 'taken' | 'refused']>([
  ['a command', {}, 'taken'],
  ['a command that names the host', { host: 'localhost:4883' }, 'taken'],
  ['a command over IPv6', { host: '[::1]:4883' }, 'taken'],
  ['a client of HTTP/1.0, without a host', { host: undefined }, 'taken'],
  ['a page of this port', { origin: 'http://127.0.0.1:4883', site: 'same-origin' }, 'taken'],
  ['an address that somebody typed', { method: 'GET', site: 'none' }, 'taken'],
  ['a link on some page', { method: 'GET', site: 'cross-site' }, 'taken'],
  ['a page of another site', { origin: 'https://evil.example', site: 'cross-site' }, 'refused'],
  ['the same in a browser that says less', { origin: 'https://evil.example' }, 'refused'],
  ['a page without an origin', { origin: 'null' }, 'refused'],
  ['another port of this host', { origin: 'http://127.0.0.1:8080', site: 'same-site' }, 'refused'],
  ['a page that deletes', { method: 'DELETE', origin: 'http://localhost:4883' }, 'refused'],
  ['a site whose name means this host now', { method: 'GET', host: 'evil.example:4883' }, 'refused'],
  ['the same, in its own name', { host: 'evil.example:4883', origin: 'http://evil.example:4883' }, 'refused'],
  ['a name that begins as loopback does', { method: 'GET', host: '127.0.0.1.evil.example:4883' }, 'refused'],
])('without a token: %s is %s', (_, sent, outcome) => {
  expect(foreign({ ...command, ...sent }, false) === undefined ? 'taken' : 'refused').toBe(outcome)
})

test('who has the token is taken under whatever name: no page has it', () => {
  expect(foreign({ ...command, host: 'node-1.rack:4883', origin: 'https://dashboard.example' }, true)).toBeUndefined()
})
