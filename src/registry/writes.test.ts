import { afterAll, beforeAll, describe, expect, spyOn, test } from 'bun:test'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describeRegistry } from '../../test/conformance/registry.ts'
import { FakeClock } from '../../test/fakes/clock.ts'
import { diskStores } from '../../test/fakes/disk-stores.ts'
import { startPushed } from '../../test/fakes/pushed-registry.ts'
import { systemClock } from '../clock.ts'
import { Failure } from '../failure.ts'
import { repositoryOf } from '../oci/reference.ts'
import { mostUploads } from '../push/uploads.ts'
import { Users } from '../push/users.ts'
import { silentLog } from '../telemetry/log.ts'
import { challenge } from './errors.ts'
import { tokenPath } from './tokens.ts'

const { openStore, newDir } = diskStores({ each: false })

describeRegistry('a seed', 'apps.corp/team/app', async () => startPushed({ store: await openStore(newDir()) }))

describe('a seed whose operator is careful', () => {
  let dir: string
  let users: Users
  let seed: Awaited<ReturnType<typeof startPushed>>
  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), 'shoal-writes-'))
    const file = join(dir, 'users')
    writeFileSync(file, `ann:${await Bun.password.hash('correct', { algorithm: 'bcrypt', cost: 4 })}\n`)
    users = await Users.open(file, systemClock, silentLog)
    // A request that reads has this long to arrive.
    seed = await startPushed({ store: await openStore(newDir()), users, deletes: false, limits: { requestMs: 800 } })
  })
  afterAll(async () => {
    await seed?.close()
    rmSync(dir, { recursive: true, force: true })
  })

  const authorization = `Basic ${Buffer.from('ann:correct').toString('base64')}`
  const begin = (headers: Record<string, string>, of = 'apps.corp/team/app') =>
    fetch(`${seed.url}/v2/${of}/blobs/uploads/`, { method: 'POST', headers })
  const codeOf = async (response: Response) => {
    const { errors } = (await response.json()) as { errors: { code: string }[] }
    return [response.status, errors[0]?.code]
  }

  test('lets those push who show their login, and challenges the others', async () => {
    expect((await begin({ authorization })).status).toBe(202)
    const refused = await begin({})
    expect(refused.headers.get('www-authenticate')).toStartWith('Basic ')
    expect(await codeOf(refused)).toEqual([401, 'UNAUTHORIZED'])
    expect(await codeOf(await begin({ authorization, origin: 'https://evil.example' }))).toEqual([403, 'DENIED'])
  })

  test('sends dockerd for a token, which it gives to nobody with a wrong password', async () => {
    const agent = { 'user-agent': 'docker/27' }
    const base = await fetch(`${seed.url}/v2/`, { headers: agent })
    const realm = /realm="([^"]+)"/.exec(base.headers.get('www-authenticate') ?? '')?.[1] ?? ''
    expect(base.status).toBe(401)
    const wrong = `Basic ${Buffer.from('ann:wrong').toString('base64')}`
    expect((await fetch(realm, { headers: { authorization: wrong } })).status).toBe(401)
    const { token } = (await (await fetch(realm, { headers: { authorization } })).json()) as { token: string }
    expect((await begin({ authorization: `Bearer ${token}` })).status).toBe(202)
    const nobody = (await (await fetch(realm)).json()) as { token: string }
    expect((await begin({ authorization: `Bearer ${nobody.token}` })).status).toBe(401)
  })

  test('tells who logs in with a wrong password of its users, and knows nothing of other logins', async () => {
    const base = (login?: string) => {
      const headers = { authorization: `Basic ${Buffer.from(login ?? '').toString('base64')}` }
      return fetch(`${seed.url}/v2/`, login === undefined ? {} : { headers })
    }
    const wrong = await base('ann:wrong')
    expect([wrong.status, wrong.headers.get('www-authenticate')]).toEqual([401, challenge])
    for (const login of ['ann:correct', 'bob:x', undefined]) expect((await base(login)).status).toBe(200)
    const busy = spyOn(users, 'verify').mockRejectedValue(new Failure('too-many', 'too many passwords'))
    const authorization = `Basic ${Buffer.from('ann:correct').toString('base64')}`
    const token = fetch(seed.url + tokenPath, { headers: { authorization } })
    expect([(await base('ann:correct')).status, (await token).status]).toEqual([429, 429])
    busy.mockRestore()
  })

  test('shows the login of one who pushes to no registry, and that of others as ever', async () => {
    const read = async (login: string) => {
      const headers = { authorization: `Basic ${Buffer.from(login).toString('base64')}` }
      await fetch(`${seed.url}/v2/library/debian/manifests/13`, { headers })
      return seed.visitors.at(-1)
    }
    expect(await read('ann:correct')).toMatchObject({ shown: false, credential: undefined })
    expect(await read('ann:wrong')).toMatchObject({ shown: false, credential: undefined })
    expect(await read('bob:his-own')).toMatchObject({ shown: true, credential: { kind: 'basic', username: 'bob' } })
  })

  test('takes nothing for repositories that are not its own, and deletes nothing', async () => {
    expect(await codeOf(await begin({ authorization }, 'library/debian'))).toEqual([403, 'DENIED'])
    const target = `${seed.url}/v2/apps.corp/team/app/manifests/v1`
    const refused = await fetch(target, { method: 'DELETE', headers: { authorization } })
    expect(await codeOf(refused)).toEqual([405, 'UNSUPPORTED'])
  })

  test('says to who pushes when there are too many, not that it is not there', async () => {
    const { uploads } = seed.pusher
    const others = Array.from({ length: mostUploads - uploads.size }, () =>
      uploads.begin(repositoryOf('apps.corp', 'team/app'), 'bob'),
    )
    const refused = await begin({ authorization })
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([429, '5'])
    await Promise.all(others.map((upload) => uploads.end(upload)))
  })

  test('waits for an upload that takes its time', async () => {
    const begun = await begin({ authorization })
    const slow = new ReadableStream({
      async pull(controller) {
        for (let i = 0; i < 10; i++) {
          controller.enqueue(new Uint8Array(100))
          await Bun.sleep(150)
        }
        controller.close()
      },
    })
    const url = new URL(begun.headers.get('location') ?? '', seed.url)
    const sent = await fetch(url, { method: 'PATCH', headers: { authorization }, body: slow })
    expect([sent.status, sent.headers.get('range')]).toEqual([202, '0-999'])
  })
})

describe('a seed with a store of two megabytes', () => {
  const clock = new FakeClock()
  let seed: Awaited<ReturnType<typeof startPushed>>
  beforeAll(async () => {
    seed = await startPushed({ store: await openStore(newDir(), { limitBytes: 2_000_000, beside: () => 0 }), clock })
  })
  afterAll(() => seed?.close())

  const begin = async () => {
    const begun = await fetch(`${seed.url}/v2/apps.corp/team/app/blobs/uploads/`, { method: 'POST' })
    return new URL(begun.headers.get('location') ?? '', seed.url)
  }
  const send = async (url: URL, bytes: number) => {
    const response = await fetch(url, { method: 'PATCH', body: new Uint8Array(bytes) })
    const text = await response.text()
    return [response.status, text === '' ? undefined : JSON.parse(text).errors[0].code]
  }

  test('says of what will never fit that it is too large, and keeps nothing of it; of what may fit later, to come again', async () => {
    const large = await begin()
    expect(await send(large, 3_000_000)).toEqual([413, 'SIZE_INVALID'])
    expect(await send(large, 1)).toEqual([404, 'BLOB_UPLOAD_UNKNOWN'])
    const [first, second] = [await begin(), await begin()]
    expect(await send(first, 1_500_000)).toEqual([202, undefined])
    expect(await send(second, 1_000_000)).toEqual([503, 'UNAVAILABLE'])
    expect((await fetch(first, { method: 'DELETE' })).status).toBe(204)
    expect(await send(second, 1_000_000)).toEqual([202, undefined])
    expect((await fetch(second, { method: 'DELETE' })).status).toBe(204)
  })
  test('has room for who comes after one that broke off, ten minutes later', async () => {
    const [left, early] = [await begin(), await begin()]
    expect(await send(left, 1_500_000)).toEqual([202, undefined])
    expect(await send(early, 1_000_000)).toEqual([503, 'UNAVAILABLE'])
    // It may have some of that, as far as there was room.
    expect((await fetch(early, { method: 'DELETE' })).status).toBe(204)
    const next = await begin()
    clock.advance(600_000)
    expect(await send(next, 1_000_000)).toEqual([202, undefined])
    expect(await send(left, 1)).toEqual([404, 'BLOB_UPLOAD_UNKNOWN'])
    expect(await send(next, 999_990)).toEqual([202, undefined])
    const mediaType = 'application/vnd.oci.image.index.v1+json'
    const body = JSON.stringify({ schemaVersion: 2, mediaType, manifests: [] })
    const put = async () => {
      const headers = { 'content-type': mediaType }
      return (await fetch(`${seed.url}/v2/apps.corp/team/app/manifests/v1`, { method: 'PUT', headers, body })).status
    }
    expect(await put()).toBe(503)
    clock.advance(600_000)
    expect(await put()).toBe(201)
  })
})
