import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'bun:test'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const musl = existsSync('/lib') && readdirSync('/lib').some((name) => name.startsWith('ld-musl-'))
const platform = `linux-${process.arch}${musl ? '-musl' : ''}`
const missing = ['openssl', 'sha256sum'].filter((program) => !Bun.which(program))
const obstacle = process.getuid?.() !== 0 ? 'not root' : missing.join(', ')
if (obstacle) console.log(`skipped: what the installer brings: ${obstacle}`)

let dir: string
const at = (name: string) => join(dir, name)
const installed = () => readFileSync(at('bin/shoal'), 'utf8')

/** Does what the installer asks of a binary: says its version, and puts itself into its place. */
const shoal = (version: string) => `#!/bin/sh
case $1 in
  version) echo "shoal ${version}, commit 0123456789ab, built 2026-01-01T00:00:00Z, bun 1.4.5" ;;
  install) cp "$0" ${at('bin/shoal')} ;;
esac
`

function run(command: readonly string[], env: Record<string, string> = {}) {
  const { exitCode, stdout, stderr } = Bun.spawnSync([...command], {
    cwd: dir,
    env: { PATH: process.env.PATH!, ...env },
  })
  return { code: exitCode, said: `${stdout}${stderr}` }
}

/** A release that is signed as each is. */
function release(version: string): void {
  const file = at(`files/shoal-${platform}`)
  writeFileSync(file, shoal(version))
  run(['sh', '-c', `cd files && sha256sum shoal-${platform} >SHA256SUMS`])
  const sign = ['openssl', 'pkeyutl', '-sign', '-rawin', '-inkey', 'key', '-in', 'files/SHA256SUMS']
  expect(run([...sign, '-out', 'files/SHA256SUMS.sig']).code).toBe(0)
}

const shells = ['sh', 'busybox sh'].filter((shell) => Bun.which(shell.split(' ')[0]!))

describe.skipIf(obstacle !== '').each(shells)('what the installer brings, by %s', (shell) => {
  const install = (env: Record<string, string> = {}) =>
    run([...shell.split(' '), 'install.sh'], {
      SHOAL_RELEASES: at('files'),
      SHOAL_RELEASE_KEY: at('public'),
      ...env,
    })

  beforeAll(() => {
    dir = mkdtempSync(join(tmpdir(), 'shoal-installer-'))
    mkdirSync(at('files'))
    const script = readFileSync(join(import.meta.dir, 'install.sh'), 'utf8')
    // All that it writes by itself is in there.
    writeFileSync(at('install.sh'), script.replace('bin=/usr/local/bin', `bin=${at('bin')}`))
    run(['openssl', 'genpkey', '-algorithm', 'ed25519', '-out', 'key'])
    run(['openssl', 'pkey', '-in', 'key', '-pubout', '-out', 'public'])
  })
  afterAll(() => rmSync(dir, { recursive: true }))
  beforeEach(() => {
    rmSync(at('bin'), { recursive: true, force: true })
  })

  test.each([
    ['0.2.0', '0.1.9'],
    ['0.10.0', '0.9.1'],
    ['1.0.0', '0.99.99'],
    ['0.2.11', '0.2.2'],
    ['1.0.0', '1.0.0-rc.1'],
  ])('is not put into the place of %s when it is %s, unless that is wanted', (newer, older) => {
    release(newer)
    expect(install().said).toContain('SHA256SUMS is signed by the key')
    expect(installed()).toBe(shoal(newer))
    release(older)
    const { code, said } = install()
    expect([code, said]).toEqual([1, expect.stringContaining(`shoal ${newer} is installed; nothing was changed`)])
    expect(said).toContain('SHOAL_ALLOW_DOWNGRADE=1')
    expect(installed()).toBe(shoal(newer))
    expect(install({ SHOAL_ALLOW_DOWNGRADE: '1' }).code).toBe(0)
    expect(installed()).toBe(shoal(older))
    release(newer)
    expect(install().code).toBe(0)
    expect(installed()).toBe(shoal(newer))
  })

  test('is put into the place of the same version, and of what is no shoal', () => {
    release('0.2.0')
    for (let round = 0; round < 2; round++) expect(install().code).toBe(0)
    writeFileSync(at('bin/shoal'), '#!/bin/sh\nexit 1\n')
    expect(install().code).toBe(0)
    expect(installed()).toBe(shoal('0.2.0'))
  })

  test('is not said to be signed by another key when that could not be found out', () => {
    release('0.2.0')
    // As the one of Debian 11 says it.
    mkdirSync(at('old'), { recursive: true })
    writeFileSync(
      at('old/openssl'),
      '#!/bin/sh\ncase $* in version) echo "OpenSSL 1.1.1w  11 Sep 2023" ;; *) echo "-verify  -pubin" >&2; exit 1 ;; esac\n',
      { mode: 0o755 },
    )
    const old = install({ PATH: `${at('old')}:${process.env.PATH}` })
    expect([old.code, old.said]).toEqual([1, expect.stringContaining('this openssl (OpenSSL 1.1.1w  11 Sep 2023)')])
    expect(old.said).toContain('3.0 or newer is needed')
    for (const key of ['none', 'install.sh']) {
      const { code, said } = install({ SHOAL_RELEASE_KEY: at(key) })
      expect([code, said]).toEqual([1, expect.stringContaining('cannot be read as a public key in PEM')])
      expect(said).toContain(at(key))
    }
    expect(existsSync(at('bin/shoal'))).toBe(false)
  })

  test('is said to be signed by another key when it is', () => {
    release('0.2.0')
    run(['openssl', 'genpkey', '-algorithm', 'ed25519', '-out', 'key2'])
    run(['openssl', 'pkey', '-in', 'key2', '-pubout', '-out', 'public2'])
    const { code, said } = install({ SHOAL_RELEASE_KEY: at('public2') })
    expect([code, said]).toEqual([1, expect.stringContaining(`is not signed by the key in ${at('public2')}`)])
  })

  test("is no node's own binary where it must be signed", () => {
    release('0.2.0')
    const file = at(`files/shoal-${platform}`)
    const sha256 = new Bun.CryptoHasher('sha256').update(readFileSync(file)).digest('hex')
    const offer = `offer_url='${file}' offer_sha256='${sha256}' offer_platform='${platform}' offer_version='0.2.0'`
    const script = readFileSync(at('install.sh'), 'utf8')
    const offered = script.replace(/^offer_url=.*$/m, `${offer} offer_flags='' offer_keyed=''`)
    writeFileSync(at('offered.sh'), offered)
    const take = (env: Record<string, string>) => run([...shell.split(' '), 'offered.sh'], env)
    const { code, said } = take({ SHOAL_RELEASE_KEY: at('public') })
    expect([code, said]).toEqual([1, expect.stringContaining("a node's own binary is not signed; set SHOAL_RELEASES")])
    expect(existsSync(at('bin/shoal'))).toBe(false)
    expect(take({}).code).toBe(0)
    expect(installed()).toBe(shoal('0.2.0'))
  })
})
