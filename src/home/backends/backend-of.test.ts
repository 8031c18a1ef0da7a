import { describe, expect, test } from 'bun:test'
import { webOptions } from '../../../test/fakes/web-options.ts'
import { backendOf } from './backend-of.ts'
import { s3Place } from './s3-place.ts'

describe('a URL of no backend', () => {
  test.each([
    ['apps', '"apps" is no URL; give s3://bucket/prefix?endpoint=...'],
    ['ftp://a/b', 'ftp:// is no backend; give s3://'],
    ['file:///no/such/directory', 'is not a directory; make it, or mount what should be there'],
    ['oci:///no/such/directory', 'is not a directory; make it, or mount what should be there'],
    ['file:///srv/images?write=yes', 'may have ?write=no at its end, where it is only read, and no other ? or #'],
    ['oci:///srv/images#1', 'in the name of a directory write %3F and %23'],
    ['file://srv/images', 'write three slashes before the directory'],
    [
      'https://me:secret@b/c',
      'the backend https://b must not hold credentials in its URL; see --home-credentials-file',
    ],
    ['https://b/c?d=e', 'must not have a ? or # in its URL'],
    ['registry+https://b/c?d=e', 'must not have a ? or # in its URL'],
    ['s3://B_/x', 'a bucket has 3 to 63 of a-z'],
    ['s3://images?regoin=x', '"regoin" is not known; there are endpoint, region and style'],
    ['s3://images?endpoint=10.0.0.1:9000', 'its endpoint is not an http or https URL'],
    ['s3://images/a%20b', 'its prefix may have letters, digits'],
  ])('%s is refused with what to write', (url, message) => {
    expect(() => backendOf(url, webOptions())).toThrow(message)
    expect(() => backendOf(url, webOptions())).not.toThrow('secret')
  })
})

test('a bucket is at AWS unless an endpoint is given, in the URL or by AWS_ENDPOINT_URL', () => {
  const at = (text: string, env = {}) => {
    const { base, prefix, region } = s3Place(new URL(text), env)
    return [base.href, prefix, region]
  }
  expect(at('s3://images')).toEqual(['https://images.s3.us-east-1.amazonaws.com/', '', 'us-east-1'])
  expect(at('s3://images/a/b/?region=eu-west-1')).toEqual([
    'https://images.s3.eu-west-1.amazonaws.com/',
    'a/b/',
    'eu-west-1',
  ])
  expect(at('s3://images?endpoint=http://10.0.0.1:9000')).toEqual(['http://10.0.0.1:9000/images/', '', 'us-east-1'])
  expect(at('s3://images', { AWS_ENDPOINT_URL: 'https://s3.corp', AWS_REGION: 'here' })).toEqual([
    'https://s3.corp/images/',
    '',
    'here',
  ])
  expect(at('s3://images?endpoint=https://s3.corp&style=host')[0]).toBe('https://images.s3.corp/')
})
