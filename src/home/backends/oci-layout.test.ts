import { afterAll, beforeEach, describe, expect, test } from 'bun:test'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { backendConformance, layOut } from '../../../test/conformance/backend.ts'
import { refuses } from '../../../test/conformance/source.ts'
import { webOptions } from '../../../test/fakes/web-options.ts'
import { parseTag, repositoryOf, type Tag } from '../../oci/reference.ts'
import type { Resolved } from '../../source/source.ts'
import type { Backend } from './backend.ts'
import { backendOf } from './backend-of.ts'

const folders: string[] = []
afterAll(() => Promise.all(folders.map((folder) => rm(folder, { recursive: true, force: true }))))

async function folder(): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), 'shoal-layouts-'))
  folders.push(made)
  return made
}

backendConformance('OCI image layouts', async () => {
  const dir = await folder()
  return { again: () => backendOf(`oci://${dir}`, webOptions()), stop: async () => {} }
})

test('each repository is a layout of its own, in which every tag has one entry', async () => {
  const dir = await folder()
  const { writes } = backendOf(`oci://${dir}`, webOptions())
  for (let times = 0; times < 2; times++) await layOut(writes!, repositoryOf('apps.corp', 'team/app'))
  const layout = join(dir, 'apps.corp/team/app')
  expect(JSON.parse(await readFile(join(layout, 'oci-layout'), 'utf8'))).toEqual({ imageLayoutVersion: '1.0.0' })
  const index = JSON.parse(await readFile(join(layout, 'index.json'), 'utf8')) as {
    manifests: { annotations: Record<string, string> }[]
  }
  const names = index.manifests.map(({ annotations }) => annotations['org.opencontainers.image.ref.name'])
  expect(names.sort()).toEqual(['a', 'b', 'v1'])
})

test('tags that are set at the same time are all there', async () => {
  const dir = await folder()
  const backend = backendOf(`oci://${dir}`, webOptions())
  const repository = repositoryOf('apps.corp', 'app')
  await layOut(backend.writes!, repository)
  const to = await backend.resolve(repository, 'v1' as never)
  const tags = Array.from({ length: 20 }, (_, i) => `t${i}`)
  await Promise.all(tags.map((tag) => backend.writes!.setTag(repository, tag as never, to, 2000)))
  const { body } = await backend.pass(repository, 'tags/list', '', undefined)
  const listed = (JSON.parse(new TextDecoder().decode(body)) as { tags: string[] }).tags
  expect(listed).toEqual([...tags, 'a', 'b', 'v1'].sort())
})

test('no repository lies in the layout of another', async () => {
  const dir = await folder()
  const backend = backendOf(`oci://${dir}`, webOptions())
  for (const name of ['app/index.json', 'app/oci-layout', 'app/blobs/sha256']) {
    const put = layOut(backend.writes!, repositoryOf('apps.corp', name))
    await expect(put).rejects.toMatchObject({ code: 'bad-name' })
  }
  await layOut(backend.writes!, repositoryOf('apps.corp', 'app'))
  expect((await backend.resolve(repositoryOf('apps.corp', 'app'), 'v1' as never)).size).toBeGreaterThan(0)
})

describe('an index that is as long as one may be', () => {
  const repository = repositoryOf('apps.corp', 'app')
  const [v1, a, v2] = ['v1', 'a', 'v2'].map(parseTag) as [Tag, Tag, Tag]
  let backend: Backend
  let file: string
  let to: Resolved

  /** With so many bytes of what another tool noted. */
  async function lengthen(bytes: number): Promise<void> {
    const index = JSON.parse(await readFile(file, 'utf8')) as { manifests: { annotations: Record<string, string> }[] }
    index.manifests.at(-1)!.annotations['of.another.tool'] = 'x'.repeat(bytes)
    await writeFile(file, JSON.stringify(index))
  }

  beforeEach(async () => {
    const dir = await folder()
    backend = backendOf(`oci://${dir}`, webOptions())
    file = join(dir, 'apps.corp/app/index.json')
    await layOut(backend.writes!, repository)
    to = await backend.resolve(repository, v1)
  })

  test('takes no more, which is said with what to do, and can be read as before', async () => {
    await lengthen(8 * 1024 * 1024 - (await readFile(file)).length - 100)
    const failure = await refuses(backend.writes!.setTag(repository, v2, to, 2000), 'no-space')
    expect(failure.message).toContain('let a rule take old tags away (--keep), delete some, or give')
    expect(await backend.resolve(repository, v1)).toEqual(to)
    await backend.writes!.removeTag(repository, a)
    await backend.writes!.setTag(repository, v2, to, 2000)
  })

  test('or longer, as others wrote it, can be read and shortened', async () => {
    await lengthen(9 * 1024 * 1024)
    await backend.writes!.removeTag(repository, a)
    await refuses(backend.writes!.setTag(repository, v2, to, 2000), 'no-space')
    expect((await backend.stat({ repository, kind: 'manifest', digest: to.digest })).size).toBe(to.size)
    await refuses(backend.resolve(repository, a), 'no-manifest')
  })
})
