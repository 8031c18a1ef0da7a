import { describe, expect, test } from 'bun:test'
import { Failure } from '../failure.ts'
import { digestOf } from '../oci/digest.ts'
import { acceptManifests } from '../oci/media.ts'
import { repositoryOf } from '../oci/reference.ts'
import { isGenuine } from './genuine.ts'

const digest = digestOf(Buffer.from('asked for'))
const other = digestOf(Buffer.from('another'))
const longer = digestOf(Buffer.from('asked for'), 'sha512')

function verdict(what: string, type: string | undefined, stated?: string, method: 'GET' | 'HEAD' | 'PUT' = 'HEAD') {
  const headers = new Headers({
    ...(type && { 'content-type': type }),
    ...(stated && { 'docker-content-digest': stated }),
  })
  const subject = { repository: repositoryOf('ghcr.io', 'org/app'), what, missing: 'no-manifest' } as const
  try {
    return isGenuine({ method, path: what, subject }, headers) ? 'genuine' : 'cannot be told'
  } catch (error) {
    return Failure.from(error).message.replace(' of ghcr.io/org/app', '')
  }
}

const html = 'text/html; charset=utf-8'
const octets = 'application/octet-stream'

describe('a manifest', () => {
  test.each(acceptManifests.split(', '))("is the registry's when it comes as %s", (type) => {
    expect(verdict('manifests/v1', type)).toBe('genuine')
    expect(verdict(`manifests/${digest}`, `${type}; charset=utf-8`)).toBe('genuine')
  })

  test("is the registry's when its digest is stated, the one that was asked for if one was", () => {
    expect(verdict('manifests/v1', html, digest)).toBe('genuine')
    expect(verdict(`manifests/${digest}`, undefined, digest)).toBe('genuine')
    expect(verdict(`manifests/${digest}`, undefined, longer)).toBe('genuine')
    expect(verdict(`manifests/${digest}`, undefined, other)).toContain(`is ${other}, as its own header says`)
  })

  test('has to be read where nothing says what it is', () => {
    for (const type of [undefined, octets, 'application/json', 'text/plain']) {
      expect(verdict('manifests/v1', type)).toBe('cannot be told')
      expect(verdict('manifests/v1', type, 'sha256:x')).toBe('cannot be told')
    }
  })
})

test('a blob may come from a host that states neither its digest nor its type', () => {
  for (const type of [undefined, octets, 'text/plain']) expect(verdict(`blobs/${digest}`, type)).toBe('genuine')
  expect(verdict(`blobs/${digest}`, html, digest)).toBe('genuine')
  expect(verdict(`blobs/${digest}`, octets, other)).toContain(`is ${other}, as its own header says`)
})

test('a page is nothing that a registry has', () => {
  const before = 'something before the registry answers'
  expect(verdict('manifests/v1', html)).toBe(`manifests/v1 is no manifest but text/html: ${before}`)
  expect(verdict(`blobs/${digest}`, 'TEXT/HTML')).toBe(`blobs/${digest} is no blob but text/html: ${before}`)
  expect(verdict(`blobs/${digest}`, 'application/xhtml+xml')).toContain(before)
})

test('an answer to anything else says nothing about content', () => {
  for (const what of ['tags/list', `referrers/${digest}`, 'blobs/uploads/']) {
    for (const type of [html, 'application/json']) expect(verdict(what, type, undefined, 'GET')).not.toBe('genuine')
  }
  expect(verdict('manifests/v1', html, digest, 'PUT')).toBe('cannot be told')
})
