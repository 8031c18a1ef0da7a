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
})
