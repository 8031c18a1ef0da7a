import { expect, test } from 'bun:test'
import { digestOf } from '../oci/digest.ts'
import type { Descriptor } from '../oci/media.ts'
import { choose, isPlatform, platformOf } from './platform.ts'

const listed = (...platforms: (string | undefined)[]): Descriptor[] =>
  platforms.map((platform, i) => ({
    digest: digestOf(new Uint8Array([i])),
    size: 1,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    ...(platform ? { platform } : {}),
  }))

test.each([
  [['linux/amd64', 'linux/arm64'], 'linux/arm64', 1],
  [['linux/arm/v6', 'linux/arm/v7'], 'linux/arm/v7', 1],
  [['linux/arm/v6', 'linux/arm/v7'], 'linux/arm', 0],
  [['linux/arm64/v8', 'linux/arm64'], 'linux/arm64', 1],
  [['linux/amd64', 'linux/arm64'], 'linux/arm64/v8', 1],
  [[undefined, 'windows/amd64', 'linux/amd64'], 'linux/amd64', 2],
] as const)('of %p the image for %s is the one at %d', (platforms, wanted, at) => {
  const manifests = listed(...platforms)
  expect(choose(manifests, wanted)).toBe(manifests[at]!)
})

test('where there is none, those that there are are named', () => {
  const manifests = listed('linux/amd64', 'linux/arm64', 'linux/arm64', 'unknown/unknown')
  expect(() => choose(manifests, 'linux/riscv64')).toThrow(
    'there is no image for linux/riscv64; --platform takes linux/amd64, linux/arm64, all',
  )
})

test('a host’s own platform has the name that images have it by', () => {
  expect([platformOf('x64'), platformOf('arm64'), platformOf('riscv64')]).toEqual([
    'linux/amd64',
    'linux/arm64',
    'linux/riscv64',
  ])
  expect(['linux/amd64', 'linux/arm/v7', 'all'].every(isPlatform)).toBe(true)
  expect(['linux', 'amd64/', 'linux/amd64/v2/x', '', 'Linux/AMD64'].some(isPlatform)).toBe(false)
})
