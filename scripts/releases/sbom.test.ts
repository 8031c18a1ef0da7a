import { expect, test } from 'bun:test'
import { Spec, Validation } from '@cyclonedx/cyclonedx-library'
import { billOf, type Described } from './sbom.ts'

const integrity = `sha512-${Buffer.alloc(64, 7).toString('base64')}`
const release: Described = {
  version: '1.2.3',
  license: 'Apache-2.0',
  date: new Date('2026-11-22T08:00:00Z'),
  runtime: '1.4.5',
  closure: {
    direct: ['@x/a'],
    packages: [
      { name: '@x/a', version: '1.0.0', integrity, path: '@x/a', needs: ['@x/a/node_modules/b'] },
      { name: 'b', version: '2.0.0', integrity, path: '@x/a/node_modules/b', needs: [] },
    ],
  },
  licenseOf: (path) => (path === '@x/a' ? '(MIT OR Apache-2.0)' : undefined),
  files: [{ name: 'shoal-linux-x64', sha256: 'a'.repeat(64) }],
  debian: [{ name: 'libc6', version: '2.36-9+deb12u14', architecture: 'amd64', sha256: 'b'.repeat(64) }],
}

test('a bill of materials is what the schema of CycloneDX 1.6 wants', async () => {
  const validator = new Validation.JsonStrictValidator(Spec.Version.v1dot6)
  expect(await validator.validate(billOf(release))).toBeNull()
})

test('it names the packages, what they need, their licences and digests', () => {
  const bill = JSON.parse(billOf(release))
  const find = (ref: string) => bill.components.find((each: { 'bom-ref': string }) => each['bom-ref'] === ref)
  expect(find('npm:@x/a@1.0.0')).toMatchObject({
    group: '@x',
    name: 'a',
    purl: 'pkg:npm/%40x/a@1.0.0',
    licenses: [{ expression: '(MIT OR Apache-2.0)' }],
    hashes: [{ alg: 'SHA-512', content: '07'.repeat(64) }],
  })
  expect(find('deb:libc6_2.36-9+deb12u14_amd64').hashes).toEqual([{ alg: 'SHA-256', content: 'b'.repeat(64) }])
  expect(find('file:shoal-linux-x64').hashes).toEqual([{ alg: 'SHA-256', content: 'a'.repeat(64) }])
  const needs = Object.fromEntries(
    bill.dependencies.map(({ ref, dependsOn }: { ref: string; dependsOn?: string[] }) => [ref, dependsOn]),
  )
  expect(needs['shoal@1.2.3']).toEqual(['bun@1.4.5', 'npm:@x/a@1.0.0'])
  expect(needs['npm:@x/a@1.0.0']).toEqual(['npm:@x/a/node_modules/b@2.0.0'])
})

test('the same release has the same bill, whenever it is written', () => {
  expect(billOf(release)).toBe(billOf({ ...release, date: new Date(release.date) }))
  expect(billOf(release)).toContain('"timestamp": "2026-11-22T08:00:00.000Z"')
})
