import { expect, test } from 'bun:test'
import { installerWith, joiningFlags, type Offer } from './offer.ts'

const offer: Offer = {
  url: 'http://10.0.0.1:4883/shoal?key=abc',
  sha256: 'ab'.repeat(32),
  platform: 'linux-x64',
  version: '1.2.3',
  flags: ['--join', '/ip4/10.0.0.1/tcp/4882'],
  keyed: true,
}

/** What the shell makes of the variables of the script; `main` is not run. */
async function variables(script: string): Promise<string[]> {
  const names = ['url', 'sha256', 'platform', 'version', 'flags', 'keyed'].map((name) => `"$offer_${name}"`)
  const text = script.replace(/^main "\$@"\n$/m, `printf '%s\\n' ${names.join(' ')}\n`)
  return (await new Response(Bun.spawn(['sh', '-c', text]).stdout).text()).split('\n').slice(0, -1)
}

test('the installer carries what a node offers', async () => {
  expect(await variables(installerWith(offer))).toEqual([
    offer.url,
    offer.sha256,
    'linux-x64',
    '1.2.3',
    '--join /ip4/10.0.0.1/tcp/4882',
    'yes',
  ])
})

test('whatever a value is, a shell sees only text in it', async () => {
  const url = "http://x/$(touch /tmp/no)'; exit 3; '$&`id`"
  expect((await variables(installerWith({ ...offer, url })))[0]).toBe(url)
})

test('a host is told how to join, and whether traffic is encrypted; an address with a blank or a sign in it is not passed on', () => {
  expect(joiningFlags(['/ip4/10.0.0.1/tcp/4882', '/ip6/fd00::1/tcp/4882'], true)).toEqual([
    '--join',
    '/ip4/10.0.0.1/tcp/4882,/ip6/fd00::1/tcp/4882',
    '--encrypt',
  ])
  expect(joiningFlags(['/dns/a b/tcp/1', '/dns/$(id)/tcp/1'], false)).toEqual([])
})
