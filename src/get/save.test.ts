import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { lchownSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { notRoot } from '../../test/fakes/root.ts'
import { nobody } from '../../test/fakes/stranger.ts'
import { digestOf } from '../oci/digest.ts'
import { manifestTypes } from '../oci/media.ts'
import { parseReference } from '../oci/reference.ts'
import { layoutFile, pathOf } from './image.ts'
import { ownFolder } from './layout.ts'
import { save } from './save.ts'

let dir: string
let layout: string
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'shoal-save-'))
  layout = join(dir, 'app-v1')
})
afterEach(() => rmSync(dir, { recursive: true }))

const layer = Buffer.from('what a layer has')
const blob = { digest: digestOf(layer), size: layer.length, mediaType: 'application/vnd.oci.image.layer.v1.tar' }
const manifest = Buffer.from(JSON.stringify({ config: blob, layers: [] }))

/** An image of one layer, as a layout at {@link layout}. */
function saveImage() {
  const nothing = () => {}
  return save(
    { kind: 'layout', references: [parseReference('ghcr.io/org/app:v1')], path: layout },
    {
      mirror: {
        manifest: async () => ({
          bytes: manifest,
          digest: digestOf(manifest),
          mediaType: manifestTypes.ociManifest,
        }),
        blob: async function* (_, __, ___, start) {
          yield layer.subarray(start)
        },
        file: () => Promise.reject(new Error('not asked')),
      },
      platform: 'linux/amd64',
      write: () => Promise.reject(new Error('not asked')),
      told: { total: nothing, waiting: nothing, kept: nothing, came: nothing },
    },
  )
}

const read = (name: string) => readFileSync(join(layout, name), 'utf8')

describe('the layout of an image', () => {
  test('is written once and again, and where one is named by a link', async () => {
    mkdirSync(join(dir, 'elsewhere'))
    symlinkSync('elsewhere', layout)
    for (let i = 0; i < 2; i++) {
      await saveImage()
      expect([read('oci-layout'), read(pathOf(blob.digest))]).toEqual([layoutFile, String(layer)])
      expect(JSON.parse(read('index.json')).manifests).toMatchObject([{ digest: digestOf(manifest) }])
    }
  })

  test('has what an earlier try left of it replaced', async () => {
    mkdirSync(layout)
    writeFileSync(join(layout, 'index.json.part'), '{"schemaVersion": 2, and something else that is longer'.repeat(20))
    await saveImage()
    expect(JSON.parse(read('index.json')).manifests).toHaveLength(1)
  })

  const names = ['oci-layout', pathOf(blob.digest), 'index.json'].flatMap((name) => [name, `${name}.part`])
  test.each(names)('has no link in it followed to a file: %s', async (name) => {
    const [outside, link] = [join(dir, 'outside'), join(layout, name)]
    // What should be there, so that nothing else is wrong with it.
    const content = name.startsWith('oci') ? layoutFile : name.startsWith('index') ? '{"manifests":[]}' : String(layer)
    writeFileSync(outside, content)
    mkdirSync(dirname(link), { recursive: true })
    symlinkSync(outside, link)
    await expect(saveImage()).rejects.toThrow(`${link} is a link`)
    expect(readFileSync(outside, 'utf8')).toBe(content)
  })

  test.each(['blobs', 'blobs/sha256'])('nor to a folder: %s', async (name) => {
    const [outside, link] = [join(dir, 'outside'), join(layout, name)]
    mkdirSync(outside)
    mkdirSync(dirname(link), { recursive: true })
    symlinkSync(outside, link)
    await expect(saveImage()).rejects.toThrow(`${link} is a link`)
    expect([...new Bun.Glob('**/*').scanSync(outside)]).toEqual([])
  })

  test("is not to be another user's", async () => {
    await expect(ownFolder(layout, [nobody.uid])).rejects.toThrow(`${layout} belongs to another user`)
    await ownFolder(layout)
  })
})

describe.skipIf(notRoot)('a folder that another user made', () => {
  test.each(['folder', 'link'])('is not written to: %s', async (kind) => {
    mkdirSync(join(dir, 'own'))
    if (kind === 'folder') mkdirSync(layout)
    else symlinkSync('own', layout)
    lchownSync(layout, nobody.uid, nobody.uid)
    await expect(saveImage()).rejects.toThrow(`${layout} belongs to another user (uid ${nobody.uid})`)
    expect([...new Bun.Glob('**/*').scanSync(dir)]).toEqual([])
  })
})
