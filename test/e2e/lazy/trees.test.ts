import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { mergedByContainerd, mergedByMount, mergedByPodman, writeStack } from '../../lab/merged.ts'
import { oddLayer } from '../../lab/odd-layer.ts'
import { run } from '../../lab/run.ts'
import { differences, indexTar, mountObstacle, readCommand, readTree, withMounts } from '../../lab/trees.ts'
import { whiteoutLayers } from '../../lab/whiteout-layers.ts'

const obstacle = await mountObstacle('trees of layers, mounted')

describe.skipIf(obstacle !== undefined)('the mounted index of a layer', () => {
  let dir: string
  const folder = (name: string) => {
    mkdirSync(join(dir, name), { recursive: true })
    return join(dir, name)
  }
  const unpack = async (tar: string, name: string) => {
    const flags = [
      '--numeric-owner',
      '--same-owner',
      '-p',
      '--delay-directory-restore',
      '--xattrs',
      '--xattrs-include=*',
    ]
    await run(['tar', '-C', folder(name), ...flags, '-xf', tar])
    return join(dir, name)
  }

  beforeAll(() => {
    dir = mkdtempSync(join(tmpdir(), 'shoal-trees-'))
  })
  afterAll(() => rmSync(dir, { recursive: true, force: true }))

  test('is the tree that GNU tar unpacks: bytes, owners, times, links, devices, attributes, holes', async () => {
    const tar = join(dir, 'odd.tar')
    writeFileSync(tar, oddLayer(7))
    const unpacked = await readTree(readCommand(await unpack(tar, 'unpacked')))
    const mount = folder('mount')
    const mounted = await readTree(withMounts([[await indexTar(tar), mount]], readCommand(mount)))
    expect(unpacked.size).toBeGreaterThan(1500)
    expect(differences(unpacked, mounted)).toEqual([])
  })

  test("is that for GNU's own formats, holes among them", async () => {
    const mount = folder('mount')
    const source = join(dir, 'unpacked')
    const wanted = await readTree(readCommand(source))
    for (const format of [
      ['--format=gnu'],
      ['--format=posix', '--xattrs', '--xattrs-include=*'],
      ['--format=oldgnu'],
    ]) {
      const tar = join(dir, 'again.tar')
      await run(['tar', '-C', source, ...format, '--sparse', '--numeric-owner', '-cf', tar, '.'])
      const mounted = await readTree(withMounts([[await indexTar(tar), mount]], readCommand(mount)))
      const names = [...mounted.keys()]
      expect(names).toEqual([...wanted.keys()])
      // GNU's older formats know no attributes, no fractions of seconds and nothing before 1970.
      if (format[0] !== '--format=posix') continue
      expect(differences(wanted, mounted)).toEqual([])
    }
  })

  test('layers that take away, replace and hide are under overlayfs what engines unpack them to', async () => {
    const stack = writeStack(join(dir, 'stack'), whiteoutLayers())
    const mounted = await mergedByMount(stack)
    const engines = [
      ['podman', mergedByPodman],
      ['containerd', mergedByContainerd],
    ] as const
    expect(mounted.size).toBeGreaterThan(20)
    for (const [name, merged] of engines) {
      if (!Bun.which(name)) {
        console.log(`not compared with ${name}, which is not installed`)
        continue
      }
      const unpacked = await merged(stack)
      // The root is the engine's own.
      unpacked.delete('./')
      const own = new Map([...mounted].filter(([path]) => path !== './'))
      expect([name, ...differences(own, unpacked)]).toEqual([name])
    }
  })
})
