import { afterAll, beforeEach, describe, expect, test } from 'bun:test'
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FakeClock } from '../../test/fakes/clock.ts'
import { HurriedClock, RecordedLog } from '../../test/fakes/registry-source.ts'
import { until } from '../../test/lab/until.ts'
import { DockerCredentials } from './credentials.ts'
import type { Credential } from './docker-config.ts'

const folder = mkdtempSync(join(tmpdir(), 'shoal-credentials-'))
const file = join(folder, 'config.json')
afterAll(() => rmSync(folder, { recursive: true }))

function helper(name: string, script: string): void {
  const path = join(folder, `docker-credential-${name}`)
  writeFileSync(path, `#!/bin/sh\n${script}\n`)
  chmodSync(path, 0o755)
}

function password(credential: Credential | undefined): string | undefined {
  return credential?.kind === 'basic' ? credential.password.reveal() : undefined
}

describe('credentials from a Docker config', () => {
  let clock: HurriedClock
  let log: RecordedLog
  let credentials: DockerCredentials
  beforeEach(() => {
    rmSync(file, { force: true })
    clock = new HurriedClock()
    log = new RecordedLog()
    credentials = new DockerCredentials({ file, clock, log, path: `${folder}:/usr/bin:/bin`, helperMs: 600_000 })
  })
  const write = (config: unknown) => writeFileSync(file, typeof config === 'string' ? config : JSON.stringify(config))

  test('a file that is not there means none, and is no cause for a warning', async () => {
    expect(await credentials.find('ghcr.io')).toBeUndefined()
    expect(log.lines).toEqual([])
  })

  test('the file is read again when it has changed, and when it is gone', async () => {
    write({ auths: { r: { username: 'me', password: 'one' } } })
    expect(password(await credentials.find('r'))).toBe('one')
    write({ auths: { r: { username: 'me', password: 'twotwo' } } })
    expect(password(await credentials.find('r'))).toBe('twotwo')
    rmSync(file)
    expect(await credentials.find('r')).toBeUndefined()
  })

  test('of several places the first counts at which there is a file by now, also one that comes later', async () => {
    const [given, own] = [join(folder, 'given.json'), join(folder, 'own.json')]
    const login = (password: string) => JSON.stringify({ auths: { r: { username: 'me', password } } })
    credentials = new DockerCredentials({ file: [given, own], clock, log })
    expect([await credentials.find('r'), credentials.file]).toEqual([undefined, own])
    writeFileSync(own, login('own'))
    expect([password(await credentials.find('r')), credentials.file]).toEqual(['own', own])
    writeFileSync(given, login('given'))
    expect([password(await credentials.find('r')), credentials.file]).toEqual(['given', given])
    rmSync(given)
    expect(password(await credentials.find('r'))).toBe('own')
    expect(log.lines).toEqual([])
  })

  test('a file that makes no sense is warned of once, without its contents', async () => {
    write('{"auths":{"r":{"auth":hunter2}}}')
    expect(await credentials.find('r')).toBeUndefined()
    expect(await credentials.find('r')).toBeUndefined()
    expect(log.lines).toEqual([
      `${file} is not a Docker config.json; registries are asked without credentials until it is mended`,
    ])
  })

  test('a helper is told the server, and asked once for many requests', async () => {
    const asked = join(folder, 'asked')
    helper('ok', `echo "$1 $(cat)" >> ${asked}; echo '{"Username":"me","Secret":"helped"}'`)
    write({ credHelpers: { 'ghcr.io': 'ok' } })
    expect(password(await credentials.find('ghcr.io'))).toBe('helped')
    await Promise.all([credentials.find('ghcr.io'), credentials.find('ghcr.io')])
    expect(readFileSync(asked, 'utf8')).toBe('get ghcr.io\n')
    credentials.refused('ghcr.io')
    await credentials.find('ghcr.io')
    clock.skip(600_000)
    await credentials.find('ghcr.io')
    expect(readFileSync(asked, 'utf8')).toBe('get ghcr.io\n'.repeat(3))
  })

  test('what the helper does not know is looked for in the file', async () => {
    helper('empty', "echo 'credentials not found in native keychain'; exit 1")
    write({ credsStore: 'empty', auths: { r: { username: 'me', password: 'filed' } } })
    expect(password(await credentials.find('r'))).toBe('filed')
    expect(log.lines).toEqual([])
  })

  test.each([
    ['missing', '', 'it is not installed'],
    ['fails', 'exit 3', 'it ended with exit code 3'],
    ['babbles', 'echo hunter2', 'its answer cannot be understood'],
    ['../evil', '', 'not the name of a helper'],
  ])('a helper that %s is warned of, and the registry asked without credentials', async (name, script, why) => {
    if (script !== '') helper(name, script)
    write({ credsStore: name })
    expect(await credentials.find('r')).toBeUndefined()
    expect(log.lines).toHaveLength(1)
    expect(log.lines[0]).toContain(why)
    expect(log.lines[0]).not.toContain('hunter2')
  })

  test('a helper that failed is asked again soon, and warned of seldom', async () => {
    const ready = join(folder, 'ready')
    helper('boots', `[ -e ${ready} ] && echo '{"Username":"me","Secret":"helped"}' || exit 1`)
    write({ credsStore: 'boots' })
    // It fails at once, by a clock that does not hurry.
    const clock = new FakeClock()
    const credentials = new DockerCredentials({ file, clock, log, path: `${folder}:/usr/bin:/bin` })
    for (let i = 0; i < 3; i++) {
      expect(await credentials.find('r')).toBeUndefined()
      clock.advance(5_000)
    }
    expect(log.lines).toHaveLength(2)
    writeFileSync(ready, '')
    expect(password(await credentials.find('r'))).toBe('helped')
    rmSync(ready)
    clock.advance(200_000)
    expect(password(await credentials.find('r'))).toBe('helped')
  })

  test('a helper that failed is left alone for a moment', async () => {
    const asked = join(folder, 'failed')
    helper('fails-once', `echo asked >> ${asked}; exit 1`)
    write({ credsStore: 'fails-once' })
    await Promise.all([credentials.find('r'), credentials.find('r')])
    await credentials.find('r')
    expect(readFileSync(asked, 'utf8')).toBe('asked\n')
  })

  test('a helper that is slow to fail is left alone for longer: few wait for it', async () => {
    const asked = join(folder, 'slow')
    const runs = () => (existsSync(asked) ? readFileSync(asked, 'utf8') : '')
    helper('slow', `echo asked >> ${asked}; exec sleep 20`)
    write({ credsStore: 'slow' })
    const clock = new FakeClock()
    const slow = new DockerCredentials({ file, clock, log, path: `${folder}:/usr/bin:/bin`, helperMs: 10_000 })
    for (const times of ['asked\n', 'asked\nasked\n']) {
      const first = slow.find('ghcr.io')
      await until('it runs', 10, () => runs() === times)
      clock.advance(10_000)
      expect(await first).toBeUndefined()
      for (let i = 0; i < 3; i++) {
        clock.advance(6000)
        expect(await slow.find('ghcr.io')).toBeUndefined()
      }
      expect(runs()).toBe(times)
      clock.advance(60_000)
    }
  })

  test('what a helper does not know is believed as long as what it does', async () => {
    const asked = join(folder, 'unknown')
    helper('knows-none', `echo asked >> ${asked}; echo 'credentials not found in native keychain'; exit 1`)
    write({ credsStore: 'knows-none' })
    await credentials.find('r')
    clock.skip(200_000)
    await credentials.find('r')
    expect(readFileSync(asked, 'utf8')).toBe('asked\n')
  })

  test.each(['exec sleep 20', 'sleep 20'])(
    'a helper that hangs in `%s` is ended, and not waited for',
    async (script) => {
      helper('hangs', script)
      write({ credsStore: 'hangs' })
      const hurried = new DockerCredentials({ file, clock, log, path: `${folder}:/usr/bin:/bin`, helperMs: 10_000 })
      expect(await hurried.find('r')).toBeUndefined()
      expect(log.lines[0]).toContain('it did not answer within 10 s')
    },
    10_000,
  )
})
