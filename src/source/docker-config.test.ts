import { describe, expect, test } from 'bun:test'
import { Secret } from '../config/secret.ts'
import { credentialOfHelper, entryFor, helperFor, parseDockerConfig } from './docker-config.ts'

const auth = (text: string) => Buffer.from(text).toString('base64')
const login = (username: string, password: string) => ({
  kind: 'basic' as const,
  username,
  password: new Secret(password),
})

/** Secrets compare by what they hide. */
function shown(credential: ReturnType<typeof entryFor>) {
  if (!credential) return undefined
  return credential.kind === 'basic'
    ? [credential.kind, credential.username, credential.password.reveal()]
    : [credential.kind, credential.token.reveal()]
}

describe('a Docker config', () => {
  test.each([
    ['docker.io', 'https://index.docker.io/v1/'],
    ['docker.io', 'index.docker.io'],
    ['docker.io', 'docker.io'],
    ['ghcr.io', 'ghcr.io'],
    ['ghcr.io', 'https://GHCR.io/v2/'],
    ['registry.corp:5000', 'http://registry.corp:5000'],
  ])('finds the login of %s under the key %s', (account, key) => {
    expect(shown(entryFor({ auths: { [key]: { auth: auth('me:pass:word') } } }, account))).toEqual([
      'basic',
      'me',
      'pass:word',
    ])
  })

  test('does not give one registry the login of another', () => {
    const config = { auths: { 'ghcr.io': { auth: auth('me:x') }, 'registry.corp:5000': { auth: auth('me:y') } } }
    expect(entryFor(config, 'ghcr.io.evil.example')).toBeUndefined()
    expect(entryFor(config, 'registry.corp')).toBeUndefined()
    expect(entryFor(config, 'docker.io')).toBeUndefined()
  })

  test('prefers tokens to a password, and a registry token to an identity token', () => {
    const entry = { auth: auth('me:x'), identitytoken: 'id' }
    expect(shown(entryFor({ auths: { r: entry } }, 'r'))).toEqual(['identity', 'id'])
    expect(shown(entryFor({ auths: { r: { ...entry, registrytoken: 'reg' } } }, 'r'))).toEqual(['registry', 'reg'])
  })

  test('takes separate user name and password, and passes over empty entries', () => {
    expect(shown(entryFor({ auths: { r: { username: 'me', password: 'x' } } }, 'r'))).toEqual(['basic', 'me', 'x'])
    expect(entryFor({ auths: { r: {} } }, 'r')).toBeUndefined()
    expect(entryFor({ auths: { r: { auth: '!!!' } } }, 'r')).toBeUndefined()
  })

  test('names the helper of a registry before the general store', () => {
    const config = { credsStore: 'desktop', credHelpers: { 'ghcr.io': 'gh' } }
    expect(helperFor(config, 'ghcr.io')).toEqual({ helper: 'gh', server: 'ghcr.io' })
    expect(helperFor(config, 'quay.io')).toEqual({ helper: 'desktop', server: 'quay.io' })
    expect(helperFor(config, 'docker.io')).toEqual({ helper: 'desktop', server: 'https://index.docker.io/v1/' })
    expect(helperFor({}, 'quay.io')).toBeUndefined()
  })

  test('understands a helper, and its mark for identity tokens', () => {
    expect(shown(credentialOfHelper('{"ServerURL":"r","Username":"me","Secret":"x"}'))).toEqual(['basic', 'me', 'x'])
    expect(shown(credentialOfHelper('{"Username":"<token>","Secret":"x"}'))).toEqual(['identity', 'x'])
    expect(credentialOfHelper('sorry')).toBeUndefined()
  })

  test('is undefined for what is no such file', () => {
    expect(parseDockerConfig('not json')).toBeUndefined()
    expect(parseDockerConfig('{"auths":[1]}')).toBeUndefined()
    expect(parseDockerConfig('{"auths":{},"HttpHeaders":{"x":"y"}}')).toEqual({ auths: {} })
  })

  test('prints no secret', () => {
    const credential = login('me', 'hunter2')
    for (const text of [Bun.inspect(credential), JSON.stringify(credential), `${credential.password}`]) {
      expect(text).toContain('[redacted]')
      expect(text).not.toContain('hunter2')
    }
  })
})
