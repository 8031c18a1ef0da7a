/**
 * What `scripts/release` makes beside the binaries, in the folder where they lie: the container image and the bill of
 * materials. usage: bun scripts/release.ts DIR COMMIT C-LIBRARIES
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import about from '../package.json'
import { type Library, libraryIn } from './releases/c-library.ts'
import { imageArchive, type Platform } from './releases/image.ts'
import { closureOf } from './releases/lockfile.ts'
import { billOf } from './releases/sbom.ts'

const root = join(import.meta.dir, '..')
const [dir, commit, libraries] = process.argv.slice(2)
const epoch = Number(process.env.SOURCE_DATE_EPOCH)
if (!dir || !commit || !libraries || !Number.isInteger(epoch)) {
  console.error('usage: SOURCE_DATE_EPOCH=SECONDS bun scripts/release.ts DIR COMMIT C-LIBRARIES')
  process.exit(2)
}
const date = new Date(epoch * 1000)

/** Debian's names of the architectures are Go's. */
const architectures = { 'linux-x64': 'amd64', 'linux-arm64': 'arm64' } as const

const system: Library[] = []
const platforms: Platform[] = []
for (const [target, architecture] of Object.entries(architectures)) {
  const binary = join(dir, `shoal-${target}`)
  if (!existsSync(binary)) continue
  const name = readdirSync(libraries).find((each) => each.startsWith('libc6_') && each.endsWith(`_${architecture}.deb`))
  if (name === undefined) throw new Error(`${libraries} has no libc6 for ${architecture}`)
  const library = await libraryIn(join(libraries, name))
  system.push(library)
  platforms.push({ architecture, binary: await Bun.file(binary).bytes(), library: library.entries })
}
if (platforms.length > 0) {
  const facts = { version: about.version, commit, license: about.license, description: about.description, date }
  writeFileSync(join(dir, 'shoal-image.tar'), await imageArchive(platforms, facts))
}

const files = readdirSync(dir)
  .filter((name) => name.startsWith('shoal-'))
  .sort()
const bill = billOf({
  version: about.version,
  license: about.license,
  date,
  runtime: Bun.version,
  closure: closureOf(readFileSync(join(root, 'bun.lock'), 'utf8')),
  licenseOf,
  files: files.map((name) => ({ name, sha256: sha256(join(dir, name)) })),
  debian: system.map(({ part }) => part),
})
writeFileSync(join(dir, 'shoal.cdx.json'), bill)

function licenseOf(path: string): string | undefined {
  const manifest = z.object({ license: z.string().optional() })
  return manifest.parse(JSON.parse(readFileSync(join(root, 'node_modules', path, 'package.json'), 'utf8'))).license
}

function sha256(path: string): string {
  return new Bun.CryptoHasher('sha256').update(readFileSync(path)).digest('hex')
}
