/**
 * Layers as mounted indexes, against the same layers unpacked: whether the trees are equal, what an index takes to make
 * and to keep, and what walking either costs. What is mounted here is a file in place of the unpacked layer, so that
 * nothing but the index is judged.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import Table from 'cli-table3'
import { mergedByContainerd, mergedByMount, mergedByPodman, writeStack } from '../test/lab/merged.ts'
import { run } from '../test/lab/run.ts'
import { differences, type Indexed, indexTar, readCommand, readTree, withMounts } from '../test/lab/trees.ts'
import { whiteoutLayers } from '../test/lab/whiteout-layers.ts'
import { median } from './benchmarks/statistics.ts'
import { failing, within } from './lib/options.ts'
import { type Case, cases } from './trees/cases.ts'

const help = `usage: scripts/lazy-trees [--rounds N] [--only WORD] [--dir DIR]

  --rounds N   how often each tree is walked (default 5)
  --only WORD  only layers whose names have that word
  --dir DIR    where trees are unpacked: about 11 GB, on the file system to compare with (default the temporary one)`

/** Milliseconds of a walk: by the clock, and of a processor. */
interface Walk {
  readonly wall: number
  readonly cpu: number
}

type Walks = Record<'cold' | 'warm', Walk[]>

/** How the script calls itself where the index is mounted. */
const walkFlag = '--walk-these'

async function measure(args: string[]): Promise<void> {
  if (args[0] === walkFlag) return walkThem(args.slice(1))
  const options = {
    rounds: { type: 'string', default: '5' },
    only: { type: 'string', default: '' },
    dir: { type: 'string', default: tmpdir() },
  } as const
  const { values } = parseArgs({ args, options })
  const rounds = within(values.rounds, '--rounds', 1, 100)
  if (process.getuid?.() !== 0) throw new Error('mounting needs root')
  const dir = mkdtempSync(join(values.dir, 'shoal-trees-'))
  try {
    const equal = await compareAll(dir, rounds, values.only)
    if (!equal) throw new Error('not all trees are equal')
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

async function compareAll(dir: string, rounds: number, only: string): Promise<boolean> {
  const trees = new Table({
    head: ['layer', 'names', 'equal', 'index', 'of a name', 'made in'],
    style: { head: [], border: [], compact: true },
  })
  const walks = new Table({
    head: [`find -printf, median of ${rounds}`, 'unpacked', 'mounted', 'ratio'],
    style: { head: [], border: [], compact: true },
  })
  let equal = true
  for (const one of cases.filter(({ name }) => name.includes(only))) {
    console.error(`${one.name} ...`)
    const own = join(dir, 'case')
    mkdirSync(own)
    const { row, isEqual, walked } = await compare(one, own, rounds)
    trees.push(row)
    equal &&= isEqual
    for (const kind of walked ? (['cold', 'warm'] as const) : []) {
      const [unpacked, mounted] = walked!.map((walk) => walk[kind])
      for (const clock of ['wall', 'cpu'] as const) {
        const [a, b] = [median(unpacked!.map((w) => w[clock])), median(mounted!.map((w) => w[clock]))]
        walks.push([`${one.name}, ${kind}, ${clock}`, `${a.toFixed(0)} ms`, `${b.toFixed(0)} ms`, (b / a).toFixed(2)])
      }
    }
    rmSync(own, { recursive: true })
  }
  if ('whiteouts'.includes(only)) {
    const stack = writeStack(join(dir, 'stack'), whiteoutLayers())
    const mounted = await mergedByMount(stack)
    mounted.delete('./')
    for (const [name, merge] of Object.entries({ podman: mergedByPodman, containerd: mergedByContainerd })) {
      const unpacked = await merge(stack)
      unpacked.delete('./')
      const found = differences(unpacked, mounted)
      for (const line of found) console.error(line)
      equal &&= found.length === 0
      const title = `whiteouts over three layers, against ${name}`
      trees.push([title, String(mounted.size), found.length === 0 ? 'yes' : 'NO', '', '', ''])
    }
  }
  console.log(trees.toString())
  console.log(walks.toString())
  return equal
}

async function compare(one: Case, dir: string, rounds: number) {
  const tar = await one.tar(dir)
  const [unpacked, mount] = [join(dir, 'unpacked'), join(dir, 'mount')]
  for (const folder of [unpacked, mount]) mkdirSync(folder)
  const flags = ['--numeric-owner', '-p', '--delay-directory-restore', '--xattrs', '--xattrs-include=*']
  await run(['tar', '-C', unpacked, ...flags, '-xf', tar])
  const indexed = await indexTar(tar, join(dir, 'index'))
  const found = differences(
    await readTree(readCommand(unpacked)),
    await readTree(withMounts([[indexed, mount]], readCommand(mount))),
  )
  for (const line of found.slice(0, 10)) console.error(line)
  const { entries, imageBytes, ms } = indexed
  const row = [
    ...[one.name, String(entries), found.length === 0 ? 'yes' : 'NO', `${(imageBytes / 1e6).toFixed(2)} MB`],
    ...[`${(imageBytes / entries).toFixed(0)} bytes`, `${(ms.read + ms.make).toFixed(0)} ms`],
  ]
  return {
    row,
    isEqual: found.length === 0,
    walked: one.walk ? await walk(indexed, unpacked, mount, rounds) : undefined,
  }
}

async function walk(indexed: Indexed, unpacked: string, mount: string, rounds: number): Promise<Walks[]> {
  const out = `${indexed.image}.walks`
  const own = [process.execPath, import.meta.path, walkFlag, out, String(rounds), indexed.image, unpacked, mount]
  await run(withMounts([[indexed, mount]], own))
  return Bun.file(out).json()
}

async function walkThem([out, rounds, image, ...dirs]: string[]): Promise<void> {
  const walks: Walks[] = dirs.map(() => ({ cold: [], warm: [] }))
  await run(['sync'])
  for (let round = 0; round < Number(rounds); round++) {
    for (const [i, dir] of dirs.entries()) {
      // The page cache and what is known of names.
      writeFileSync('/proc/sys/vm/drop_caches', '3')
      walks[i]!.cold.push(await find(dir, i === 0 ? undefined : image))
      walks[i]!.warm.push(await find(dir))
    }
  }
  await Bun.write(out!, JSON.stringify(walks))
}

/** A mounter reads an index as a whole before it mounts it, to hold it against its digest: that is part of a cold walk. */
async function find(dir: string, image?: string): Promise<Walk> {
  const start = performance.now()
  if (image !== undefined) await Bun.file(image).bytes()
  const child = Bun.spawn(['find', dir, '-printf', '%m %u %s %T@ %p\n'], { stdin: 'ignore', stdout: 'ignore' })
  if ((await child.exited) !== 0) throw new Error(`find ${dir} exited with ${child.exitCode}`)
  const wall = performance.now() - start
  return { wall, cpu: Number(child.resourceUsage()!.cpuTime.total) / 1000 }
}

await failing('lazy-trees', help, measure)
