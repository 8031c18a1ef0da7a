/**
 * A container image with nothing in it but a C library and the binary, for several platforms, as an OCI image layout
 * (github.com/opencontainers/image-spec, image-layout.md) in a tar archive: what `skopeo copy oci-archive:`,
 * `podman load` and `ctr images import` take.
 */
import { gzipSync } from 'node:zlib'
import { type Entry, tarOf } from './tar.ts'

export interface Platform {
  /** As Go names it. */
  readonly architecture: string
  readonly binary: Uint8Array
  readonly library: readonly Entry[]
}

export interface ImageFacts {
  readonly version: string
  readonly commit: string
  readonly license: string
  readonly description: string
  /** Of everything in it. */
  readonly date: Date
}

/** Whom seeds in a cluster run as; a node that engines talk to on loopback is root, without its capabilities. */
export const imageUser = 65532

interface Descriptor {
  readonly mediaType: string
  readonly digest: string
  readonly size: number
  readonly annotations?: Readonly<Record<string, string>>
  readonly platform?: { readonly os: 'linux'; readonly architecture: string }
}

const media = {
  index: 'application/vnd.oci.image.index.v1+json',
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  config: 'application/vnd.oci.image.config.v1+json',
  layer: 'application/vnd.oci.image.layer.v1.tar+gzip',
} as const

/** The layout, as an archive. */
export async function imageArchive(platforms: readonly Platform[], facts: ImageFacts): Promise<Buffer> {
  const blobs = new Map<string, Uint8Array>()
  const keep = (mediaType: string, bytes: Uint8Array): Descriptor => {
    const digest = sha256(bytes)
    blobs.set(digest, bytes)
    return { mediaType, digest: `sha256:${digest}`, size: bytes.length }
  }
  const manifests: Descriptor[] = []
  for (const platform of platforms) {
    const manifest = await manifestOf(platform, facts, keep)
    manifests.push({ ...manifest, platform: { os: 'linux', architecture: platform.architecture } })
  }
  const annotations = annotationsOf(facts)
  const index = keep(media.index, json({ schemaVersion: 2, mediaType: media.index, manifests, annotations }))
  const top = {
    schemaVersion: 2,
    mediaType: media.index,
    manifests: [
      {
        ...index,
        annotations: {
          'org.opencontainers.image.ref.name': facts.version,
          // What containerd calls it when it is imported.
          'io.containerd.image.name': `localhost/shoal:${facts.version}`,
        },
      },
    ],
  }
  return tarOf(
    [
      { type: 'file', name: 'oci-layout', bytes: json({ imageLayoutVersion: '1.0.0' }) },
      { type: 'file', name: 'index.json', bytes: json(top) },
      { type: 'directory', name: 'blobs' },
      { type: 'directory', name: 'blobs/sha256' },
      ...[...blobs].map(([digest, bytes]): Entry => ({ type: 'file', name: `blobs/sha256/${digest}`, bytes })),
    ],
    facts.date,
  )
}

async function manifestOf(
  { architecture, binary, library }: Platform,
  facts: ImageFacts,
  keep: (mediaType: string, bytes: Uint8Array) => Descriptor,
): Promise<Descriptor> {
  const layers: Descriptor[] = []
  const contents: string[] = []
  // What changes with each version lies above what seldom does.
  for (const entries of [[...base, ...library], binaryLayer(binary)]) {
    const tar = await tarOf(entries, facts.date)
    contents.push(`sha256:${sha256(tar)}`)
    layers.push(keep(media.layer, gzipSync(tar, { level: 6 })))
  }
  const created = facts.date.toISOString().replace('.000Z', 'Z')
  const config = {
    created,
    architecture,
    os: 'linux',
    config: {
      Env: ['PATH=/usr/local/bin'],
      Entrypoint: ['/usr/local/bin/shoal'],
      Cmd: ['up'],
      WorkingDir: '/',
      Labels: annotationsOf(facts),
      StopSignal: 'SIGTERM',
    },
    rootfs: { type: 'layers', diff_ids: contents },
    history: [
      { created, created_by: 'scripts/release', comment: "Debian's C library" },
      { created, created_by: 'scripts/release', comment: `shoal ${facts.version}` },
    ],
  }
  return keep(
    media.manifest,
    json({ schemaVersion: 2, mediaType: media.manifest, config: keep(media.config, json(config)), layers }),
  )
}

const base: readonly Entry[] = [
  { type: 'directory', name: 'etc' },
  text(
    'etc/passwd',
    `root:x:0:0:root:/root:/sbin/nologin\nshoal:x:${imageUser}:${imageUser}:shoal:/var/lib/shoal:/sbin/nologin\n`,
  ),
  text('etc/group', `root:x:0:\nshoal:x:${imageUser}:\n`),
  text('etc/nsswitch.conf', 'passwd: files\ngroup: files\nhosts: files dns\n'),
  { type: 'directory', name: 'root', mode: 0o700 },
  { type: 'directory', name: 'tmp', mode: 0o1777 },
  { type: 'directory', name: 'var' },
  { type: 'directory', name: 'var/lib' },
  { type: 'directory', name: 'var/lib/shoal', mode: 0o700, owner: imageUser },
  { type: 'directory', name: 'usr' },
  { type: 'directory', name: 'usr/lib' },
  { type: 'directory', name: 'usr/lib64' },
  { type: 'symlink', name: 'lib', to: 'usr/lib' },
  { type: 'symlink', name: 'lib64', to: 'usr/lib64' },
]

function binaryLayer(bytes: Uint8Array): Entry[] {
  const folders = ['usr', 'usr/local', 'usr/local/bin'].map((name): Entry => ({ type: 'directory', name }))
  return [...folders, { type: 'file', name: 'usr/local/bin/shoal', bytes, mode: 0o755 }]
}

function annotationsOf({ version, commit, license, description }: ImageFacts): Record<string, string> {
  return {
    'org.opencontainers.image.title': 'shoal',
    'org.opencontainers.image.description': description,
    'org.opencontainers.image.version': version,
    'org.opencontainers.image.revision': commit,
    'org.opencontainers.image.licenses': license,
  }
}

function text(name: string, content: string): Entry {
  return { type: 'file', name, bytes: new TextEncoder().encode(content) }
}

const json = (value: unknown) => new TextEncoder().encode(JSON.stringify(value))

const sha256 = (bytes: Uint8Array) => new Bun.CryptoHasher('sha256').update(bytes).digest('hex')
