import { describe, expect, test } from 'bun:test'
import { digestOf } from '../../oci/digest.ts'
import type { Descriptor } from '../../oci/media.ts'
import { imageFrom } from './image.ts'

const digest = (text: string) => digestOf(new TextEncoder().encode(text))
const layer = (text: string): Descriptor => ({ digest: digest(text), size: 1, mediaType: 'application/x' })
const config = (fields: object) => new TextEncoder().encode(JSON.stringify(fields))

describe('an image', () => {
  test('has its layers with what they are unpacked, and what it is to run', () => {
    const bytes = config({
      os: 'linux',
      architecture: 'arm64',
      variant: 'v8',
      rootfs: { diff_ids: [digest('a unpacked'), digest('b unpacked')] },
      config: { Env: ['PATH=/bin'], Cmd: ['sh'], Entrypoint: null, WorkingDir: '' },
    })
    const image = imageFrom(bytes, [layer('a'), layer('b')], 'linux/arm64')
    expect(image.platform).toBe('linux/arm64/v8')
    expect(image.layers.map(({ diffId }) => diffId)).toEqual([digest('a unpacked'), digest('b unpacked')])
    expect(image.process).toEqual({ env: ['PATH=/bin'], entrypoint: [], cmd: ['sh'], workingDir: '/', user: '' })
  })

  test('whose configuration lists other layers than its manifest is refused', () => {
    const bytes = config({ rootfs: { diff_ids: [digest('a unpacked')] } })
    expect(() => imageFrom(bytes, [layer('a'), layer('b')], 'linux/amd64')).toThrow('lists 2 layers')
  })

  test('that is an artifact of another kind is said to have no root file system', () => {
    expect(() => imageFrom(config({}), [layer('a')], 'linux/amd64')).toThrow('no image that has a root file system')
    expect(() => imageFrom(new Uint8Array([1]), [], 'linux/amd64')).toThrow('no image that has a root file system')
  })
})
