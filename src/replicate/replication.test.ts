import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FakeContent } from '../../test/fakes/content.ts'
import { noise } from '../../test/fakes/registry.ts'
import { HurriedClock, RecordedLog } from '../../test/fakes/registry-source.ts'
import { LabRegistry } from '../../test/lab/registry.ts'
import { until } from '../../test/lab/until.ts'
import { seededRandom, systemClock } from '../clock.ts'
import type { NodeId } from '../cluster/node-info.ts'
import { replication } from '../config/rules.ts'
import { type Digest, digestOf } from '../oci/digest.ts'
import { manifestTypes } from '../oci/media.ts'
import { parseTag, type Repository, repositoryOf } from '../oci/reference.ts'
import { openSqlite } from '../state/sqlite.ts'
import type { State } from '../state/state.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import { Replication } from './replication.ts'

// Each takes its time on a busy machine.
setDefaultTimeout(60_000)

const app = repositoryOf('apps.corp', 'team/app')
const octets = 'application/octet-stream'

describe.skipIf(Bun.which('docker-registry') === null)('a cluster with a rule', () => {
  let registry: LabRegistry
  let folder: string
  let state: State
  let content: FakeContent
  let running: Replication[]
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'shoal-replication-'))
    registry = await LabRegistry.start({ dir: folder })
  })
  afterAll(async () => {
    await registry.stop()
    rmSync(folder, { recursive: true, force: true })
  })
  beforeEach(async () => {
    state = await openSqlite(':memory:')
    content = new FakeContent()
    running = []
  })
  afterEach(async () => {
    for (const each of running) await each.close()
    await state.close()
  })

  /** A node that replicates; `more` is what follows the target's address. */
  function start(pattern: string, more: string, node = 'n1') {
    const log = new RecordedLog()
    const metrics = createMetrics()
    const replicating = new Replication({
      rules: [replication.parse(`${pattern}=${registry.url}${more}`)],
      ...{ state, content, log, metrics },
      node: node as NodeId,
      clock: new HurriedClock(),
      random: seededRandom(1),
      // By a clock that hurries.
      writer: { timeouts: { headersMs: 1_000_000, idleMs: 1_000_000 } },
    })
    running.push(replicating)
    replicating.start()
    return { replicating, log, metrics }
  }

  const name = ({ registry, name }: Repository) => `${registry}/${name}`
  const blob = (bytes: Uint8Array, mediaType = octets) => ({
    mediaType,
    digest: content.addBlob({ bytes }),
    size: bytes.length,
  })
  async function has(repository: Repository, digest: Digest, more: { subject?: Digest; parts?: Digest[] } = {}) {
    const at = systemClock.wall()
    await state.contents.add(repository, {
      digest,
      kind: 'manifest',
      mediaType: manifestTypes.ociManifest,
      size: 1,
      at,
      ...more,
    })
  }
  /** An image here, as a push leaves it. */
  async function image(repository: Repository, seed: number, subject?: Digest): Promise<Digest> {
    const bytes = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: manifestTypes.ociManifest,
        config: blob(Buffer.from(`{"seed":${seed}}`), 'application/vnd.oci.image.config.v1+json'),
        layers: [blob(noise(70_000, seed)), blob(noise(3000, seed % 3))],
        ...(subject ? { subject: { mediaType: manifestTypes.ociManifest, digest: subject, size: 1 } } : {}),
      }),
    )
    const digest = content.addManifest(name(repository), bytes)
    await has(repository, digest, subject ? { subject } : {})
    return digest
  }
  const point = (repository: Repository, tag: string, digest?: Digest) =>
    state.tags.point(repository, parseTag(tag), {
      ...(digest ? { digest } : {}),
      ...{ mediaType: manifestTypes.ociManifest, size: 1, at: systemClock.wall(), by: 'ann' },
    })
  const there = async (path: string): Promise<string | undefined> => {
    const answer = await fetch(`${registry.url}/v2/${path}`, {
      method: 'HEAD',
      headers: { accept: Object.values(manifestTypes).join() },
    }).catch(() => undefined)
    return answer?.ok ? (answer.headers.get('docker-content-digest') ?? undefined) : undefined
  }
  const settled = async (replicating: Replication) =>
    (await replicating.progress()).every(({ waiting }) => waiting === 0)

  test('copies tags that were there before it, and those that come, under the names they have here', async () => {
    const first = await image(app, 1)
    await point(app, 'v1', first)
    const { replicating, metrics } = start('apps.corp/**', '')
    await until('the first tag is there', 10, async () => (await there('apps.corp/team/app/manifests/v1')) === first)
    const second = await image(app, 2)
    await point(app, 'v1', second)
    await point(app, 'v2', first)
    await point(repositoryOf('other.corp', 'team/app'), 'v1', first)
    await until('the others are there', 10, async () => (await there('apps.corp/team/app/manifests/v2')) === first)
    await until('the tag moved', 10, async () => (await there('apps.corp/team/app/manifests/v1')) === second)
    await until('nothing waits', 10, () => settled(replicating))
    expect(await there('other.corp/team/app/manifests/v1')).toBeUndefined()
    expect(content.openReaders).toBe(0)
    expect((await metrics.replicationTasks.get()).values.find(({ labels }) => labels.result === 'failed')?.value).toBe(
      0,
    )
  })

  test('puts names below a path, or where the registry begins', async () => {
    const digest = await image(app, 3)
    await point(app, 'v1', digest)
    start('apps.corp/**', '/mirror')
    start('apps.corp/**', '/{name}', 'n2')
    await until('it is below the path', 10, async () => (await there('mirror/team/app/manifests/v1')) === digest)
    await until('it is at the root', 10, async () => (await there('team/app/manifests/v1')) === digest)
  })

  test('copies an index with all its images, and what refers to them, tagged or not', async () => {
    const repository = repositoryOf('apps.corp', 'team/index')
    const children = [await image(repository, 4), await image(repository, 5)]
    const manifests = children.map((digest) => ({ mediaType: manifestTypes.ociManifest, digest, size: 1 }))
    const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: manifestTypes.ociIndex, manifests }))
    const index = content.addManifest(name(repository), bytes)
    await has(repository, index)
    await point(repository, 'v1', index)
    const signatures = [await image(repository, 6, index), await image(repository, 7, index)]
    const { replicating } = start('apps.corp/team/index', '')
    await until('nothing waits', 10, () => settled(replicating))
    expect(await there('apps.corp/team/index/manifests/v1')).toBe(index)
    for (const digest of [...children, ...signatures]) {
      expect(await there(`apps.corp/team/index/manifests/${digest}`)).toBe(digest)
    }
    // This registry has no list of referrers: it is kept under a tag.
    const list = await fetch(`${registry.url}/v2/apps.corp/team/index/manifests/${index.replace(':', '-')}`, {
      headers: { accept: manifestTypes.ociIndex },
    })
    const { manifests: listed } = (await list.json()) as { manifests: { digest: string; artifactType: string }[] }
    expect(listed.map(({ digest }) => digest).sort()).toEqual([...signatures].sort())
    expect(listed[0]!.artifactType).toBe('application/vnd.oci.image.config.v1+json')
  })

  test('lists what refers to something also where it is there already', async () => {
    const repository = repositoryOf('apps.corp', 'team/listed')
    const subject = await image(repository, 8)
    const signatures = [await image(repository, 9, subject), await image(repository, 10, subject)]
    await point(repository, 'signature', signatures[0]!)
    const first = start('apps.corp/team/listed', '')
    await until('nothing waits', 10, () => settled(first.replicating))
    const place = `${registry.url}/v2/apps.corp/team/listed/manifests/${subject.replace(':', '-')}`
    const listed = async () => {
      const list = await fetch(place, { headers: { accept: manifestTypes.ociIndex } })
      // Where a tag is being written anew, distribution 2 says for a moment that there is none.
      const { manifests = [] } = (await list.json()) as { manifests?: { digest: Digest }[] }
      return manifests.map(({ digest }) => digest).sort()
    }
    expect(await listed()).toEqual([...signatures].sort())
    const body = JSON.stringify({ schemaVersion: 2, mediaType: manifestTypes.ociIndex, manifests: [] })
    const put = await fetch(place, { method: 'PUT', headers: { 'content-type': manifestTypes.ociIndex }, body })
    expect([put.status, await listed()]).toEqual([201, []])
    // Another rule begins anew.
    start('apps.corp/team/liste?', '', 'n2')
    await until('they are listed again', 10, async () => (await listed()).length === 2)
  })

  test('has a target that went away, and was started again, catch up with all that came meanwhile', async () => {
    const repository = repositoryOf('apps.corp', 'team/outage')
    const wanted = new Map<string, Digest>()
    const push = async (i: number) => {
      const digest = await image(repository, 100 + i)
      await point(repository, `v${i}`, digest)
      wanted.set(`v${i}`, digest)
    }
    const { replicating, log, metrics } = start('apps.corp/team/outage', '')
    for (let i = 0; i < 5; i++) await push(i)
    await registry.kill()
    for (let i = 5; i < 15; i++) await push(i)
    // What was pushed again points elsewhere by the time that it is copied.
    await push(3)
    const failures = async () =>
      (await metrics.replicationTasks.get()).values.find(({ labels }) => labels.result === 'failed')!.value
    await until('the outage is seen', 20, async () => (await failures()) > 0)
    const [progress] = await replicating.progress()
    expect(progress!.waiting).toBeGreaterThanOrEqual(10)
    expect(progress!.lagMs).toBeGreaterThan(0)
    await until('it is said of one why', 20, async () =>
      (await replicating.progress())[0]!.oldest.some(({ lastError }) => lastError?.includes('nothing listens there')),
    )
    // The node ends as well, and another goes on.
    await running.pop()!.close()
    registry = await LabRegistry.start({ dir: folder, port: registry.port })
    const next = start('apps.corp/team/outage', '', 'n2')
    await until('nothing waits', 60, () => settled(next.replicating))
    for (const [tag, digest] of wanted) {
      expect([tag, await there(`apps.corp/team/outage/manifests/${tag}`)]).toEqual([tag, digest])
    }
    expect(log.lines.some((line) => line.includes('not replicated yet'))).toBe(true)
  }, 120_000)

  test('is not told twice what is there, by a node that comes later', async () => {
    const digest = await image(app, 8)
    await point(app, 'once', digest)
    const { replicating } = start('apps.corp/**', '')
    await until('nothing waits', 10, () => settled(replicating))
    await running.pop()!.close()
    const puts = () => registry.accesses().filter(({ method }) => method === 'PUT' || method === 'POST').length
    const before = puts()
    const next = start('apps.corp/**', '', 'n2')
    await point(app, 'twice', digest)
    await until('the next is there', 10, async () => (await there('apps.corp/team/app/manifests/twice')) === digest)
    await until('nothing waits', 10, () => settled(next.replicating))
    // The manifest, under its other tag.
    await until('the log has come', 5, () => puts() > before)
    expect(puts() - before).toBe(1)
  })

  test('copies a tag that is gone no more, and takes it away there only where it is told to', async () => {
    const digest = await image(app, 9)
    await point(app, 'gone', digest)
    const { replicating, log } = start('apps.corp/**', '')
    await until('it is there', 10, async () => (await there('apps.corp/team/app/manifests/gone')) === digest)
    await point(app, 'gone')
    await point(app, 'marker', digest)
    await until(
      'nothing waits',
      10,
      async () => (await there('apps.corp/team/app/manifests/marker')) === digest && (await settled(replicating)),
    )
    expect(await there('apps.corp/team/app/manifests/gone')).toBe(digest)
    await running.pop()!.close()
    // From then on; this registry deletes no tags: which is said, and tried again for ever.
    const strict = start('apps.corp/**', ' deletes', 'n2')
    await point(app, 'gone', digest)
    await point(app, 'gone')
    await until('it is tried', 10, async () =>
      (await strict.replicating.progress())[0]!.oldest.some(({ tries }) => tries > 0),
    )
    const [stuck] = (await strict.replicating.progress())[0]!.oldest.filter(({ tries }) => tries > 0)
    expect(stuck!.lastError).toContain('did not take the deletion of tag gone')
    expect(log.lines.join()).not.toContain('did not take')
  })

  test('says what is missing here, and is not kept by it from the rest', async () => {
    const broken = await image(app, 10)
    const nowhere = digestOf(Buffer.from('nowhere'))
    await point(app, 'broken', nowhere)
    await point(app, 'whole', broken)
    const { replicating } = start('apps.corp/**', '')
    await until('the rest is there', 10, async () => (await there('apps.corp/team/app/manifests/whole')) === broken)
    await until('it is said, and the rest is done', 10, async () => {
      const { oldest } = (await replicating.progress())[0]!
      return oldest.length === 1 && oldest[0]!.tries > 0
    })
    const [progress] = await replicating.progress()
    expect(progress!.oldest.map(({ what }) => what)).toEqual(['apps.corp/team/app:broken'])
    expect(progress!.oldest[0]!.lastError).toContain('has no manifest')
  })
})
