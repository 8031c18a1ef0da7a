import { describe, expect, test } from 'bun:test'
import { Upstreams } from '../source/upstreams.ts'
import { imagesAt, type Names } from './images.ts'

const digest = `sha256:${'a'.repeat(64)}`

function namesWith(...listed: [string, string][]): Names {
  const map = new Map(listed.map(([registry, url]) => [registry, [{ url: new URL(url) }]]))
  const upstreams = new Upstreams(map, { onlyListed: false })
  return (url) => upstreams.leadingTo(url)
}
const at = (url: string, names: Names, known?: string) => imagesAt(url, names, known).map(({ name }) => name)

describe('the URL of a manifest', () => {
  test('means the repository at the registry of its host', () => {
    expect(at('https://harbor.corp/v2/team/app/manifests/v1', namesWith())).toEqual(['harbor.corp/team/app:v1'])
    expect(at('http://127.0.0.1:5000/v2/app/manifests/v1', namesWith())).toEqual(['127.0.0.1:5000/app:v1'])
    expect(at('https://index.docker.io/v2/library/debian/manifests/13', namesWith())).toEqual([
      'docker.io/library/debian:13',
    ])
  })

  test('means the names by which hosts know what is at that URL, the most particular first', () => {
    const names = namesWith(
      ['apps.corp', 'https://harbor.corp'],
      ['docker.io', 'https://harbor.corp/v2/hub'],
      ['other.corp', 'https://other.corp'],
    )
    expect(at('https://harbor.corp/v2/team/app/manifests/v1', names)).toEqual(['apps.corp/team/app:v1'])
    expect(at('https://harbor.corp/v2/hub/library/debian/manifests/13', names)).toEqual([
      'docker.io/library/debian:13',
      'apps.corp/hub/library/debian:13',
    ])
  })

  test('may say http where a proxy before the registry ends TLS, and may have a prefix before the API', () => {
    expect(at('http://harbor.corp/v2/team/app/manifests/v1', namesWith(['apps.corp', 'https://harbor.corp']))).toEqual([
      'apps.corp/team/app:v1',
    ])
    expect(at('https://git.corp/reg/v2/app/manifests/v1', namesWith(['apps.corp', 'https://git.corp/reg']))).toEqual([
      'apps.corp/app:v1',
    ])
  })

  test('has a tag or a digest, and both where both are known', () => {
    const url = 'https://harbor.corp/v2/team/app/manifests'
    expect(at(`${url}/${digest}`, namesWith())).toEqual([`harbor.corp/team/app@${digest}`])
    expect(at(`${url}/${digest.replace(':', '%3A')}`, namesWith())).toEqual([`harbor.corp/team/app@${digest}`])
    expect(at(`${url}/v1`, namesWith(), digest)).toEqual([`harbor.corp/team/app:v1@${digest}`])
    expect(at(`${url}/v1`, namesWith(), 'sha256@fake')).toEqual(['harbor.corp/team/app:v1'])
  })

  test.each([
    ['no URL', 'not an http or https URL'],
    ['ftp://harbor.corp/v2/team/app/manifests/v1', 'not an http or https URL'],
    ['https://harbor.corp/v2/team/app/blobs/v1', 'not the URL of a manifest'],
    ['https://harbor.corp/team/app', 'not the URL of a manifest'],
    ['https://harbor.corp/v2/team/app/manifests/.hidden', 'neither a tag nor a digest'],
    ['https://harbor.corp/v2/TEAM/app/manifests/v1', 'not a repository name'],
    ['http://harbor/v2/team/app/manifests/v1', 'cannot be told from a name at Docker Hub'],
  ])('%s is refused, and why', (url, why) => {
    expect(() => at(url, namesWith())).toThrow(why)
  })
})
