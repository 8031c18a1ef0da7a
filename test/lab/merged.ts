/** Layers one over the other: as mounted indexes below overlayfs, and as engines unpack them. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { digestOf } from '../../src/oci/digest.ts'
import { writeImage } from './image.ts'
import { run } from './run.ts'
import { indexTar, readCommand, readTree, withMounts } from './trees.ts'

/** Layers of an image, lowest first, in a folder that they are written to. */
export interface Stack {
  readonly dir: string
  readonly tars: readonly string[]
}

export function writeStack(dir: string, layers: readonly Uint8Array[]): Stack {
  mkdirSync(dir, { recursive: true })
  const tars = layers.map((layer, i) => {
    const tar = join(dir, `${i}.tar`)
    writeFileSync(tar, layer)
    return tar
  })
  return { dir, tars }
}

export async function mergedByMount({ dir, tars }: Stack): Promise<Map<string, string>> {
  const merged = join(dir, 'merged')
  mkdirSync(merged, { recursive: true })
  const mounts = await Promise.all(
    tars.map(async (tar) => {
      const place = `${tar}.mount`
      mkdirSync(place, { recursive: true })
      return [await indexTar(tar), place] as const
    }),
  )
  const lower = mounts.map(([, place]) => place).toReversed()
  const script = `mount -t overlay overlay -o lowerdir=${lower.join(':')} ${merged}; exec "$@"`
  return readTree(withMounts(mounts, ['sh', '-ec', script, 'sh', ...readCommand(merged)]))
}

/** Keeps what it has below the stack's folder. */
export async function mergedByPodman(stack: Stack): Promise<Map<string, string>> {
  // It takes no longer path for this one than 50 characters.
  const running = mkdtempSync('/tmp/shoal-podman-')
  layoutOf(stack)
  const podman = ['podman', '--storage-driver', 'overlay']
  const own = ['--root', join(stack.dir, 'podman'), '--runroot', running]
  const script = [
    `podman() { command ${[...podman, ...own].join(' ')} "$@"; }`,
    // It makes a name of the path, and capitals are not for names.
    `cd ${stack.dir}`,
    'id=$(podman pull --quiet oci:layout:v1)',
    'dir=$(podman image mount "$id")',
    `cd "$dir"; exec "$@"`,
  ].join('\n')
  try {
    return await readTree(['timeout', '100', 'unshare', '-m', 'sh', '-ec', script, 'sh', ...readCommand('.')])
  } finally {
    rmSync(running, { recursive: true, force: true })
  }
}

/** By a containerd of its own, which ends with the command. */
export async function mergedByContainerd(stack: Stack): Promise<Map<string, string>> {
  const archive = join(stack.dir, 'image.tar')
  await run(['tar', '-C', layoutOf(stack), '-cf', archive, '.'])
  const own = join(stack.dir, 'containerd')
  mkdirSync(own, { recursive: true })
  const config = [
    'version = 2',
    `root = "${own}/root"`,
    `state = "${own}/state"`,
    `[grpc]`,
    `address = "${own}/socket"`,
  ]
  writeFileSync(`${own}/config.toml`, [...config, '[ttrpc]', `address = "${own}/ttrpc"`].join('\n'))
  const script = [
    `containerd --config ${own}/config.toml > ${own}/log 2>&1 & daemon=$!`,
    // It is the last that looks at the mounts, which end with this namespace.
    "trap 'kill $daemon; wait $daemon' EXIT",
    `ctr() { command ctr --address ${own}/socket "$@"; }`,
    'for i in $(seq 300); do ctr version > /dev/null 2>&1 && break; sleep 0.1; done',
    `ctr images import --base-name lab/image --snapshotter overlayfs ${archive} >&2`,
    `mkdir -p ${own}/mount; ctr images mount --snapshotter overlayfs "$(ctr images list --quiet)" ${own}/mount >&2`,
    `cd ${own}/mount; "$@"; cd /; umount ${own}/mount`,
  ].join('\n')
  return readTree(['timeout', '100', 'unshare', '-m', 'sh', '-ec', script, 'sh', ...readCommand('.')])
}

function layoutOf({ dir, tars }: Stack): string {
  const layout = join(dir, 'layout')
  const layers = tars.map((file) => {
    const gz = `${file}.gz`
    const tar = new Uint8Array(readFileSync(file))
    const bytes = Bun.gzipSync(tar)
    writeFileSync(gz, bytes)
    return { file: gz, digest: digestOf(bytes), size: bytes.length, diffId: digestOf(tar), comment: file }
  })
  writeImage(layout, 'v1', { layers })
  return layout
}
