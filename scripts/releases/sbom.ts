/**
 * The bill of materials of a release, as CycloneDX has it: the packages that are in the binary, the runtime around them,
 * and in the container image the C library. The same release always gives the same text.
 */
import * as CDX from '@cyclonedx/cyclonedx-library'
import { PackageURL } from 'packageurl-js'
import parseExpression from 'spdx-expression-parse'
import type { Closure, Package } from './lockfile.ts'

export interface Described {
  readonly version: string
  readonly license: string
  /** When the release was made: of its commit. */
  readonly date: Date
  readonly runtime: string
  readonly closure: Closure
  /** SPDX expressions, by a package's path. */
  readonly licenseOf: (path: string) => string | undefined
  /** Files of the release, by name. */
  readonly files: readonly { readonly name: string; readonly sha256: string }[]
  /** Debian packages in the container image. */
  readonly debian: readonly DebianPackage[]
}

export interface DebianPackage {
  readonly name: string
  readonly version: string
  readonly architecture: string
  readonly sha256: string
}

const { Component, Bom, Metadata, LicenseRepository } = CDX.Models
const { ComponentType, HashAlgorithm, ComponentScope } = CDX.Enums

export function billOf(release: Described): string {
  const bom = new Bom({ version: 1, metadata: new Metadata({ timestamp: release.date }) })
  const self = new Component(ComponentType.Application, 'shoal', {
    version: release.version,
    bomRef: `shoal@${release.version}`,
    licenses: licenses(release.license),
    purl: new PackageURL('generic', undefined, 'shoal', release.version, undefined, undefined).toString(),
  })
  const parts = new Map(release.closure.packages.map((each) => [each.path, partOf(each, release)]))
  for (const [path, part] of parts) {
    const { needs } = release.closure.packages.find((each) => each.path === path)!
    for (const need of needs) part.dependencies.add(parts.get(need)!.bomRef)
  }
  const runtime = new Component(ComponentType.Framework, 'bun', {
    version: release.runtime,
    bomRef: `bun@${release.runtime}`,
    licenses: licenses('MIT'),
    purl: new PackageURL('npm', undefined, 'bun', release.runtime, undefined, undefined).toString(),
  })
  const files = release.files.map(({ name, sha256 }) => {
    const file = new Component(ComponentType.File, name, { version: release.version, bomRef: `file:${name}` })
    file.hashes.set(HashAlgorithm['SHA-256'], sha256)
    file.dependencies.add(self.bomRef)
    return file
  })
  const system = release.debian.map(debianPart)
  for (const path of release.closure.direct) self.dependencies.add(parts.get(path)!.bomRef)
  self.dependencies.add(runtime.bomRef)
  bom.metadata.component = self
  for (const part of [...parts.values(), runtime, ...files, ...system]) bom.components.add(part)
  const serializer = new CDX.Serialize.JsonSerializer(new CDX.Serialize.JSON.Normalize.Factory(CDX.Spec.Spec1dot6))
  return `${serializer.serialize(bom, { sortLists: true, space: 2 })}\n`
}

function partOf({ name, version, integrity, path }: Package, { licenseOf }: Described) {
  const { scope, base } = splitName(name)
  const part = new Component(ComponentType.Library, base, {
    ...(scope === undefined ? {} : { group: scope }),
    version,
    bomRef: `npm:${path}@${version}`,
    scope: ComponentScope.Required,
    purl: new PackageURL('npm', scope, base, version, undefined, undefined).toString(),
    licenses: licenses(licenseOf(path)),
  })
  const [algorithm, digest] = integrity.split('-', 2)
  if (algorithm === 'sha512' && digest)
    part.hashes.set(HashAlgorithm['SHA-512'], Buffer.from(digest, 'base64').toString('hex'))
  return part
}

function debianPart({ name, version, architecture, sha256 }: DebianPackage) {
  const part = new Component(ComponentType.Library, name, {
    version,
    bomRef: `deb:${name}_${version}_${architecture}`,
    description: 'in the container image only',
    purl: new PackageURL('deb', 'debian', name, version, { arch: architecture }, undefined).toString(),
  })
  part.hashes.set(HashAlgorithm['SHA-256'], sha256)
  return part
}

function splitName(name: string): { scope: string | undefined; base: string } {
  const [scope, base] = name.split('/')
  return base === undefined ? { scope: undefined, base: name } : { scope, base }
}

function licenses(text: string | undefined): CDX.Models.LicenseRepository {
  const factory = new CDX.Contrib.License.Factories.LicenseFactory(parseExpression)
  return new LicenseRepository(text === undefined ? [] : [factory.makeFromString(text)])
}
