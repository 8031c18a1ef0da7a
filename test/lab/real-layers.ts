/** Layers that are real without a registry to take them from: the file trees of Debian packages, fetched by apt. */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { cachedLayer, type Layer, labCache, output, tar, tarOfFolder } from './layers.ts'
import { run, tryRun } from './run.ts'

export interface RealLayers {
  readonly layers: readonly Layer[]
  /** `machine` when packages could not be downloaded and folders of this machine stand in for them. */
  readonly origin: 'packages' | 'machine'
}

/** In the order of the layers; what this Debian release does not have is left out. The first ones make Perl and Python run. */
const packages = [
  ...['libc6', 'libcrypt1', 'zlib1g', 'libexpat1', 'perl-base'],
  ...['libpython3.11-minimal', 'python3.11-minimal', 'libpython3.11-stdlib'],
  ...['libpython3.13-minimal', 'python3.13-minimal', 'libpython3.13-stdlib'],
  ...['git', 'libperl5.36', 'libperl5.40', 'perl-modules-5.36', 'perl-modules-5.40'],
  ...['cpp-12', 'gcc-12', 'cpp-14-x86-64-linux-gnu', 'gcc-14-x86-64-linux-gnu', 'libicu72', 'libicu76', 'vim-runtime'],
  ...['g++-12', 'g++-14-x86-64-linux-gnu', 'libllvm14', 'libllvm19', 'libstdc++-12-dev', 'libstdc++-14-dev'],
  ...['libllvm15', 'libllvm16', 'golang-1.19-go', 'golang-1.24-go', 'libtorch1.13', 'libtorch2.6'],
]

const machineFolders = ['/usr/bin', '/usr/share/doc', '/usr/share/locale', '/usr/lib', '/usr/share']

/** Layers of together at most about `bytes`, a shell first. */
export async function realLayers(bytes: number): Promise<RealLayers> {
  const base = await baseLayer()
  if (!base) return { layers: await machineLayers(bytes), origin: 'machine' }
  const layers = [base]
  let total = base.size
  for (const name of packages) {
    if (total >= bytes * 0.97) break
    const deb = await download(name)
    if (!deb) continue
    const layer = await cachedLayer(`${deb.split('/').at(-1)}`, `Debian package ${name}`, () => tarOfPackage(deb))
    if (total + layer.size > bytes * 1.05) continue
    layers.push(layer)
    total += layer.size
  }
  return { layers, origin: 'packages' }
}

/** busybox with the links that make it a system; undefined when it cannot be downloaded. */
async function baseLayer(): Promise<Layer | undefined> {
  const deb = await download('busybox-static')
  if (!deb) return undefined
  return cachedLayer(`base-${deb.split('/').at(-1)}`, 'busybox from Debian', async function* () {
    const stage = mkdtempSync(join(tmpdir(), 'shoal-base-'))
    try {
      await run(['dpkg-deb', '--extract', deb, stage])
      const busybox = existsSync(join(stage, 'bin/busybox')) ? '/bin/busybox' : '/usr/bin/busybox'
      for (const folder of ['bin', 'dev', 'etc', 'proc', 'root', 'sys', 'tmp', 'usr/bin']) {
        mkdirSync(join(stage, folder), { recursive: true })
      }
      const applets = (await run([join(stage, busybox), '--list'])).split('\n')
      for (const applet of applets.filter((name) => name && name !== 'busybox')) {
        symlinkSync(busybox, join(stage, 'bin', applet))
      }
      writeFileSync(join(stage, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\n')
      writeFileSync(join(stage, 'etc/group'), 'root:x:0:\n')
      yield* tarOfFolder(stage)
    } finally {
      rmSync(stage, { recursive: true })
    }
  })
}

async function machineLayers(bytes: number): Promise<Layer[]> {
  const layers: Layer[] = []
  let left = bytes
  for (const source of machineFolders.filter((path) => existsSync(path))) {
    if (left < bytes * 0.03) break
    // Tar of at most what is wanted, cut at a file boundary; gzip makes about a third of it.
    const files = await filesUpTo(source, left * 2.5)
    const key = `machine-${bytes}-${layers.length}`
    const layer = await cachedLayer(key, `${source} of this machine`, () =>
      tar(['--no-recursion', '--files-from=-'], files),
    )
    layers.push(layer)
    left -= layer.size
  }
  return layers
}

async function filesUpTo(folder: string, bytes: number): Promise<string> {
  const listing = await run(['find', folder, '-xdev', '-type', 'f', '-readable', '-printf', '%s %p\n'])
  let left = bytes
  const chosen = listing
    .split('\n')
    .sort()
    .flatMap((line) => {
      const space = line.indexOf(' ')
      left -= Number(line.slice(0, space)) + 512
      return space > 0 && left > 0 ? [line.slice(space + 1)] : []
    })
  return chosen.join('\n')
}

/** Path of the package's file, downloaded unless it is in the cache; undefined when apt has no such package. */
async function download(name: string): Promise<string | undefined> {
  const folder = join(labCache, 'packages')
  mkdirSync(folder, { recursive: true })
  const here = () => readdirSync(folder).find((file) => file.startsWith(`${name}_`) && file.endsWith('.deb'))
  const found = here()
  if (found) return join(folder, found)
  const part = mkdtempSync(join(folder, 'part-'))
  try {
    // Not to be fetched by the user _apt, who may not write here.
    const asRoot = process.getuid?.() === 0 ? ['-o', 'APT::Sandbox::User=root'] : []
    const fetched = await tryRun([
      'sh',
      '-c',
      'cd "$1" && shift && exec apt-get download "$@"',
      'sh',
      part,
      ...asRoot,
      name,
    ])
    const file = readdirSync(part).find((candidate) => candidate.endsWith('.deb'))
    if (fetched.code !== 0 || !file) return undefined
    renameSync(join(part, file), join(folder, file))
    return join(folder, file)
  } finally {
    rmSync(part, { recursive: true, force: true })
  }
}

async function* tarOfPackage(deb: string): AsyncIterable<Uint8Array> {
  yield* output(['dpkg-deb', '--fsys-tarfile', deb], '')
}
