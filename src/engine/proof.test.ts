import { afterAll, beforeEach, describe, expect, test } from 'bun:test'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { bytesOf } from '../../test/fakes/bytes.ts'
import { FakeDoor } from '../../test/fakes/door.ts'
import { Failure } from '../failure.ts'
import { digestOf } from '../oci/digest.ts'
import { formatRepository, type Repository, repositoryOf } from '../oci/reference.ts'
import { proven } from './proof.ts'

const bytes = bytesOf(300_000)
const digest = digestOf(bytes)
const dir = mkdtempSync(join(tmpdir(), 'shoal-proof-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))
const path = join(dir, 'blob')
writeFileSync(path, bytes)
const team = repositoryOf('ghcr.io', 'team/app')
const own = repositoryOf('apps.corp', 'team/app')
const evil = repositoryOf('evil.example', 'mine/app')

let door: FakeDoor
beforeEach(() => {
  door = new FakeDoor()
})
const ask = (...repositories: Repository[]) =>
  proven(
    {
      store: { repositoriesOf: () => repositories },
      door,
      isHome: ({ registry }) => registry === own.registry,
      random: () => 0.5,
    },
    digest,
    path,
    bytes.length,
  )

describe('what the engine has from elsewhere', () => {
  test('is proven by a registry that shows bytes of it', async () => {
    door.let(team, 'anyone')
    door.has.set(`${formatRepository(team)} ${digest}`, bytes)
    expect(await ask(team)).toBe(true)
    expect(door.asked).toEqual([`anyone ghcr.io/team/app bytes of ${digest}`])
  })

  test('is not proven by a registry that only says that it has it', async () => {
    door.let(evil, 'anyone')
    expect(await ask(evil)).toBe(false)
    door.has.set(`${formatRepository(evil)} ${digest}`, bytesOf(bytes.length, 9))
    expect(await ask(evil)).toBe(false)
  })

  test('is proven by the second one that is said to have it', async () => {
    door.let(evil, 'anyone')
    door.let(team, 'anyone')
    door.has.set(`${formatRepository(team)} ${digest}`, bytes)
    expect(await ask(evil, team)).toBe(true)
  })

  test('is asked for in the name of the node where it has a login, of a private repository', async () => {
    door.let(team, 'node')
    door.has.set(`${formatRepository(team)} ${digest}`, bytes)
    expect(await ask(team)).toBe(false)
    door.login = true
    expect(await ask(team)).toBe(true)
  })

  test('is not proven while nobody can be asked, nor where nobody is said to have it', async () => {
    door.failure = new Failure('unavailable', 'it is down')
    expect(await ask(team)).toBe(false)
    expect(await ask()).toBe(false)
  })

  test('is not proven by a repository of the cluster’s own, of which seeds say what it has and show no bytes', async () => {
    door.let(own, 'anyone')
    door.has.set(`${formatRepository(own)} ${digest}`, bytes)
    expect(await ask(own)).toBe(false)
    expect(door.asked).toEqual([])
    door.let(team, 'anyone')
    door.has.set(`${formatRepository(team)} ${digest}`, bytes)
    expect(await ask(own, own, own, team)).toBe(true)
  })

  test('asks no more than three registries', async () => {
    const many = Array.from({ length: 9 }, (_, i) => repositoryOf('evil.example', `r${i}`))
    expect(await ask(...many)).toBe(false)
    expect(door.asked).toHaveLength(3)
  })
})
