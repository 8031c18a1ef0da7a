/** Layers to compare: each as a tar, and unpacked by GNU tar where there is not a tree already. */
import { closeSync, existsSync, ftruncateSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { tarOf } from '../../test/fakes/tar.ts'
import { labCache } from '../../test/lab/layers.ts'
import { oddLayer } from '../../test/lab/odd-layer.ts'
import { run } from '../../test/lab/run.ts'

export interface Case {
  readonly name: string
  /** Writes the tar there, or says where it is. */
  readonly tar: (dir: string) => Promise<string>
  /** Whether walking it says something about walking: it has many names. */
  readonly walk: boolean
}

export const cases: readonly Case[] = [
  { name: 'Debian root file system', tar: debian, walk: true },
  { name: '100,000 small files', tar: smallFiles, walk: true },
  { name: 'a folder of 50,000 names', tar: bigFolder, walk: true },
  { name: 'owners, times, links, devices, attributes, odd names', tar: odd, walk: false },
  { name: 'a file of 5 GB', tar: bigFile, walk: false },
  { name: 'a file of 5 GB with holes', tar: holes, walk: false },
]

/** As debootstrap makes it; kept, because it takes minutes. */
async function debian(): Promise<string> {
  const kept = join(labCache, 'debian-root.tar')
  if (existsSync(kept)) return kept
  mkdirSync(labCache, { recursive: true })
  const root = `${kept}.root`
  await run(['rm', '-rf', root])
  await run(['debootstrap', '--variant=minbase', 'bookworm', root])
  const flags = ['--format=posix', '--numeric-owner', '--xattrs', '--xattrs-include=*', '--one-file-system']
  await run(['tar', '-C', root, ...flags, '-cf', `${kept}.part`, '.'])
  await run(['mv', `${kept}.part`, kept])
  await run(['rm', '-rf', root])
  return kept
}

const folder = (name: string) => ({ name, flag: '5', mode: 0o755 })

async function smallFiles(dir: string): Promise<string> {
  const files = Array.from({ length: 100_000 }, (_, i) => {
    const place = `d${Math.floor(i / 1000)}/s${Math.floor(i / 100) % 10}`
    return { name: `${place}/file-${i}`, mtime: 1_600_000_000 + (i % 5000), data: `${i} `.repeat(i % 100) }
  })
  const folders = Array.from({ length: 100 }, (_, i) => [
    folder(`d${i}/`),
    ...Array.from({ length: 10 }, (_, j) => folder(`d${i}/s${j}/`)),
  ])
  return write(dir, 'small', tarOf([folder('./'), ...folders.flat(), ...files]))
}

async function bigFolder(dir: string): Promise<string> {
  const files = Array.from({ length: 50_000 }, (_, i) => ({ name: `big/${i}-${'name'.repeat(i % 10)}`, data: `${i}` }))
  return write(dir, 'folder', tarOf([folder('./'), folder('big/'), ...files]))
}

async function odd(dir: string): Promise<string> {
  return write(dir, 'odd', oddLayer(7))
}

/** Zeros that take no room here, and bytes of its own at places on both sides of 4 GiB. */
async function bigFile(dir: string): Promise<string> {
  const size = 5_000_000_000
  const header = tarOf([folder('./'), { name: 'big', pax: [['size', String(size)]], size: 0 }], { end: false })
  const tar = join(dir, 'big.tar')
  const file = openSync(tar, 'w')
  writeSync(file, header)
  for (const at of places) writeSync(file, Buffer.alloc(100_000, `at ${at} `), 0, 100_000, header.length + at)
  ftruncateSync(file, header.length + Math.ceil(size / 512) * 512 + 1024)
  closeSync(file)
  return tar
}

const places = [0, 1_000_000_007, 2 ** 31 - 50_000, 2 ** 32 - 50_000, 2 ** 32 + 100_000_000, 5_000_000_000 - 100_000]

async function holes(dir: string): Promise<string> {
  const source = join(dir, 'holes')
  mkdirSync(source)
  const file = openSync(join(source, 'holes'), 'w')
  for (const at of places) writeSync(file, Buffer.alloc(100_000, `at ${at} `), 0, 100_000, at)
  closeSync(file)
  const tar = join(dir, 'holes.tar')
  await run(['tar', '-C', source, '--format=posix', '--sparse', '--numeric-owner', '-cf', tar, '.'])
  return tar
}

function write(dir: string, name: string, bytes: Uint8Array): string {
  const tar = join(dir, `${name}.tar`)
  writeFileSync(tar, bytes)
  return tar
}
