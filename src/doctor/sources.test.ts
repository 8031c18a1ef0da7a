import { describe, expect, test } from 'bun:test'
import { remedies, said } from '../../test/fakes/findings.ts'
import { judgeSources } from './sources.ts'
import { waysOf } from './ways.ts'

const byHand = waysOf(false)
describe('sources', () => {
  const hub = { registry: 'docker.io', url: 'https://registry-1.docker.io' }
  test.each([200, 401])('a registry that answers %d is there', (status) => {
    expect(said(judgeSources([{ ...hub, status }], true, byHand))).toEqual(['good'])
  })

  test('one that does not is a problem for a seed, and a warning for a peer', () => {
    const failed = 'registry docker.io cannot be used now: its name cannot be resolved; check DNS'
    expect(said(judgeSources([{ ...hub, failed }], true, byHand))).toEqual([`problem: ${failed}`])
    expect(said(judgeSources([{ ...hub, failed, proxy: 'proxy:3128' }], false, byHand))).toEqual([
      `warning: ${failed} through the proxy proxy:3128`,
    ])
  })

  test('one of several endpoints that does not answer is a warning, as long as another does', () => {
    const failed = 'registry docker.io cannot be used now: nothing listens there'
    const mirror = { ...hub, url: 'https://mirror.corp', failed }
    expect(said(judgeSources([mirror, { ...hub, status: 401 }], true, byHand))).toEqual([`warning: ${failed}`, 'good'])
    expect(said(judgeSources([mirror, { ...hub, failed }], true, byHand))).toEqual([
      `problem: ${failed}`,
      `problem: ${failed}`,
    ])
  })

  test.each([
    [{ ...hub, failed: 'it has a certificate that is not trusted' }, 'shoal up --ca-file FILE'],
    [{ ...hub, failed: 'its name cannot be resolved' }, 'getent hosts registry-1.docker.io'],
    [{ ...hub, status: 404 }, 'shoal up --upstream docker.io=URL'],
    [{ ...hub, status: 503 }, 'curl -v https://registry-1.docker.io/v2/'],
  ])('the remedy fits what is wrong, %#', (facts, remedy) => {
    expect(remedies(judgeSources([facts], true, byHand))[0]).toStartWith(remedy)
  })
})
