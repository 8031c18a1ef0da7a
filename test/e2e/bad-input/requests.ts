/** Requests that a node has to refuse, or to take for what they mean, and what it answers. */
import type { Digest } from '../../../src/oci/digest.ts'

export type Port = 'registry' | 'peer' | 'admin'

export interface BadRequest {
  readonly what: string
  /** Default `registry`. */
  readonly port?: Port
  /** Default GET. */
  readonly method?: string
  readonly target: string
  /** As they go over the wire, beside Host. */
  readonly headers?: readonly string[]
  readonly body?: string
  /** Instead of all that: these bytes. */
  readonly raw?: string
  readonly status: number
  /** Found in the answer, headers included. */
  readonly says?: RegExp
}

/** What is there to be asked for, at an upstream that the node may talk to. */
export interface Known {
  readonly upstream: string
  readonly repository: string
  readonly blob: Digest
  readonly size: number
}

export function badRequests({ upstream, repository, blob, size }: Known): readonly BadRequest[] {
  const name = `/v2/${upstream}/${repository}`
  const ofBlob = `${name}/blobs/${blob}`
  const unknown = `sha256:${'0'.repeat(64)}`
  const range = (value: string) => [`Range: ${value}`]
  return [
    { what: 'outside of the API', target: '/index.html', status: 404, says: /NAME_UNKNOWN.*under \/v2\// },
    { what: 'an upload', method: 'POST', target: `${name}/blobs/uploads/`, status: 405, says: /UNSUPPORTED.*pull-th/ },
    {
      what: 'a pushed manifest',
      method: 'PUT',
      target: `${name}/manifests/v1`,
      body: '{}',
      status: 405,
      says: /allow: GET, HEAD/i,
    },
    { what: 'a deletion', method: 'DELETE', target: ofBlob, status: 405, says: /UNSUPPORTED/ },
    { what: 'a method that is none', method: 'BREW', target: '/v2/', status: 400 },
    {
      what: 'upper case in a name',
      target: '/v2/Team/App/manifests/v1',
      status: 400,
      says: /NAME_INVALID.*lower-case/,
    },
    { what: 'a name of separators', target: '/v2/team/-app/manifests/v1', status: 400, says: /NAME_INVALID/ },
    {
      what: 'dots for a folder',
      target: '/v2/team/../../etc/manifests/v1',
      status: 400,
      says: /NAME_INVALID.*dot seg/,
    },
    { what: 'an empty segment', target: '/v2/team//app/manifests/v1', status: 400, says: /NAME_INVALID.*empty/ },
    { what: 'encoded dots', target: '/v2/team/%2e%2e/manifests/v1', status: 400, says: /NAME_INVALID.*characters/ },
    { what: 'an encoded zero', target: `${name}/manifests/v1%00`, status: 400, says: /NAME_INVALID.*characters/ },
    { what: 'a tag that begins with a dot', target: `${name}/manifests/.v1`, status: 404, says: /MANIFEST_UNKNOWN/ },
    {
      what: 'a tag of 129 characters',
      target: `${name}/manifests/${'v'.repeat(129)}`,
      status: 404,
      says: /MANIFEST_UNKNOWN.*neither a tag nor a digest/,
    },
    { what: 'a short digest', target: `${name}/manifests/sha256:abc`, status: 400, says: /DIGEST_INVALID.*64 hex/ },
    { what: 'a tag for a blob', target: `${name}/blobs/v1`, status: 400, says: /DIGEST_INVALID/ },
    {
      what: 'a digest in upper case',
      target: `${name}/blobs/sha256:${'A'.repeat(64)}`,
      status: 400,
      says: /DIGEST_INVALID/,
    },
    {
      what: 'another algorithm',
      target: `${name}/blobs/md5:${'0'.repeat(32)}`,
      status: 400,
      says: /DIGEST_INVALID/,
    },
    { what: 'the catalogue', target: '/v2/_catalog', status: 404, says: /UNSUPPORTED.*no catalogue/ },
    { what: 'an endpoint that is none', target: `${name}/secrets/v1`, status: 404, says: /NAME_UNKNOWN.*endpoint/ },
    { what: 'a repository nobody has', target: `/v2/${upstream}/team/other/manifests/v1`, status: 404 },
    { what: 'a tag nobody has', target: `${name}/manifests/v2`, status: 404, says: /MANIFEST_UNKNOWN/ },
    { what: 'a blob nobody has', target: `${name}/blobs/${unknown}`, status: 404, says: /BLOB_UNKNOWN/ },
    { what: 'the head of a blob nobody has', method: 'HEAD', target: `${name}/blobs/${unknown}`, status: 404 },
    {
      what: 'a registry that is not listed',
      target: '/v2/registry.elsewhere/team/app/manifests/v1',
      status: 404,
      says: /NAME_UNKNOWN.*registry\.elsewhere/,
    },
    {
      what: 'an address for ns',
      target: '/v2/team/app/manifests/v1?ns=169.254.169.254',
      status: 404,
      says: /NAME_UNKNOWN/,
    },
    { what: 'a URL for ns', target: '/v2/team/app/manifests/v1?ns=http://x/', status: 400, says: /NAME_INVALID.*host/ },
    { what: 'a login in ns', target: '/v2/team/app/manifests/v1?ns=me:pw@x', status: 400, says: /NAME_INVALID/ },
    { what: 'a path in ns', target: '/v2/team/app/manifests/v1?ns=x/../y', status: 400, says: /NAME_INVALID/ },
    { what: 'a line break in ns', target: '/v2/team/app/manifests/v1?ns=x%0d%0ay', status: 400, says: /NAME_INVALID/ },
    {
      what: 'a range behind the end',
      target: ofBlob,
      headers: range(`bytes=${size}-`),
      status: 416,
      says: new RegExp(`content-range: bytes \\*/${size}`, 'i'),
    },
    { what: 'the last no bytes', target: ofBlob, headers: range('bytes=-0'), status: 416 },
    { what: 'a range the wrong way round', target: ofBlob, headers: range('bytes=9-2'), status: 200 },
    { what: 'a range of letters', target: ofBlob, headers: range('bytes=a-b'), status: 200 },
    { what: 'a range of lines', target: ofBlob, headers: range('lines=1-2'), status: 200 },
    {
      what: 'two ranges',
      target: ofBlob,
      headers: range('bytes=0-9,20-29'),
      status: 206,
      says: /multipart\/byteranges/,
    },
    {
      what: 'the same range over and over',
      target: ofBlob,
      headers: range('bytes=0-,0-,0-'),
      status: 400,
      says: /overlap/,
    },
    {
      what: '300 ranges',
      target: ofBlob,
      headers: range(`bytes=${Array.from({ length: 300 }, (_, i) => `${2 * i}-${2 * i}`)}`),
      status: 400,
      says: /at most 256/,
    },
    {
      what: '10,000 ranges',
      target: ofBlob,
      headers: range(`bytes=${Array.from({ length: 10_000 }, (_, i) => `${2 * i}-${2 * i}`)}`),
      status: 431,
    },
    { what: 'a range that begins before the first byte', target: ofBlob, headers: range('bytes=-5-10'), status: 200 },
    { what: 'a range of a hundred digits', target: ofBlob, headers: range(`bytes=${'9'.repeat(100)}-`), status: 416 },
    {
      what: 'a path of 2,000 characters',
      target: `/v2/${'a'.repeat(1900)}/manifests/v1`,
      status: 400,
      says: /too long/,
    },
    {
      what: 'a query of 3,000 characters',
      target: `${name}/manifests/v1?x=${'a'.repeat(3000)}`,
      status: 400,
      says: /the query is too long/,
    },
    { what: 'a header of 40,000 characters', target: '/v2/', headers: [`X-Long: ${'a'.repeat(40_000)}`], status: 431 },
    { what: 'what is not HTTP', target: '', raw: 'SSH-2.0-OpenSSH_9.2\r\n\r\n', status: 400 },
    { what: 'two lengths', target: '', raw: doubleLength, status: 400 },
    { what: 'a length above all numbers', target: '', raw: absurdLength, status: 400 },
    { what: 'a length below nothing', target: '', raw: negativeLength, status: 400 },
    { what: 'both ways to say a length', target: '', raw: twoFramings, status: 400 },
    { what: 'no such page', port: 'admin', target: '/api/v2/node', status: 404, says: /no-route/ },
    { what: 'no page of blobs', port: 'admin', target: '/api/v1/blobs?limit=0', status: 400, says: /limit/ },
    { what: 'a digest that is none', port: 'admin', target: '/api/v1/blobs/latest', status: 400, says: /bad-digest/ },
    {
      what: 'removal of what is not there',
      port: 'admin',
      method: 'DELETE',
      target: `/api/v1/blobs/${unknown}`,
      status: 404,
      says: /no-blob/,
    },
    {
      what: 'a preheat of nothing',
      port: 'admin',
      method: 'POST',
      target: '/api/v1/preheats',
      headers: ['Content-Type: application/json'],
      body: '{"what":[]}',
      status: 400,
      says: /what/,
    },
    {
      what: 'a preheat that there is not',
      port: 'admin',
      target: '/api/v1/preheats/999',
      status: 404,
      says: /no-name/,
    },
    {
      what: 'an errand without a job',
      port: 'peer',
      method: 'POST',
      target: '/shoal/v1/errand',
      headers: ['Content-Type: application/json'],
      body: '{"job":"all of it"}',
      status: 400,
      says: /job/,
    },
    { what: 'a call of no node', port: 'peer', target: '/v2/', status: 404, says: /does not know that call/ },
    {
      what: 'an announce that is none',
      port: 'peer',
      method: 'POST',
      target: '/shoal/v1/announce',
      headers: ['Content-Type: application/json'],
      body: '{"node":"me"}',
      status: 400,
    },
    {
      what: 'an announce that is nothing but depth',
      port: 'peer',
      method: 'POST',
      target: '/shoal/v1/announce',
      headers: ['Content-Type: application/json'],
      body: '['.repeat(500_000) + ']'.repeat(500_000),
      status: 400,
    },
    {
      what: 'a question for a tag that is nothing but depth',
      port: 'peer',
      method: 'POST',
      target: '/shoal/v1/resolve',
      headers: ['Content-Type: application/json'],
      body: `{"repository":${'['.repeat(400_000)}${']'.repeat(400_000)}}`,
      status: 400,
    },
    {
      what: 'an announce that is too long',
      port: 'peer',
      method: 'POST',
      target: '/shoal/v1/announce',
      headers: ['Content-Type: application/json'],
      body: 'x'.repeat(1024 * 1024 + 1),
      status: 413,
    },
  ]
}

const absurdLength = 'GET /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n'
const negativeLength = 'GET /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n'
const twoFramings = 'POST /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'
const doubleLength = 'GET /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n'
