import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { obstacle as torrentObstacle } from '../../scripts/benchmarks/bittorrent.ts'
import type { Report } from '../../scripts/benchmarks/report.ts'
import type { Summary } from '../../scripts/benchmarks/statistics.ts'
import { Lab, scratchRoot } from '../lab/lab.ts'
import { tryRun } from '../lab/run.ts'

const obstacle = await Lab.obstacle()
if (obstacle) console.log(`skipped: the benchmark: ${obstacle}`)
const noTorrents = await torrentObstacle()

const script = join(import.meta.dir, '..', '..', 'scripts', 'bench.ts')
const bench = (...args: string[]) => tryRun([process.execPath, script, ...args])

describe.skipIf(obstacle !== undefined)('the benchmark, small', () => {
  let out = ''
  /** Where the last benchmark wrote. */
  let folder = ''
  beforeAll(() => {
    out = mkdtempSync(join(scratchRoot, 'shoal-bench-'))
  })
  afterAll(() => rmSync(out, { recursive: true, force: true }))

  /** Runs one scenario to its end, and returns its figures by name. */
  async function figuresOf(...args: string[]): Promise<Map<string, Summary>> {
    folder = mkdtempSync(join(out, 'results-'))
    const { code, stdout, stderr } = await bench('--quick', '--out', folder, ...args)
    const failed = stdout.split('\n').filter((line) => line.includes('FAILED'))
    expect({ code, stderr, failed }).toEqual({ code: 0, stderr: '', failed: [] })
    const report = JSON.parse(readFileSync(join(folder, 'results.json'), 'utf8')) as Report
    expect(report.results).toHaveLength(1)
    for (const { scenario, figures } of report.results) {
      expect(stdout).toContain(scenario)
      for (const { median } of figures) expect(median).toBeGreaterThanOrEqual(0)
    }
    return new Map(report.results.flatMap(({ figures }) => figures.map((figure) => [figure.name, figure] as const)))
  }

  test('compares plain pulls, BitTorrent and shoal on the same links', async () => {
    const compare = `plain,many,shoal${noTorrents ? '' : ',bittorrent'}`
    const figures = await figuresOf('--scenario', 'hosts-4', '--hosts', '2', '--size', '6', '--compare', compare)
    expect(figures.get('one plain stream')!.median).toBeGreaterThan(0)
    // Two streams share one link; nobody is faster than one stream on an empty one by much.
    expect(figures.get('all plainly, slowest host')!.median).toBeGreaterThan(1.3)
    const ways = ['shoal, slowest host', ...(noTorrents ? [] : ['BitTorrent, slowest host'])]
    for (const way of ways) {
      expect(figures.get(way)!.median).toBeGreaterThan(0.8)
      expect(figures.get(way)!.samples).toHaveLength(2)
    }
    const sent = figures.get('shoal, the source sent')!.median
    expect(sent).toBeGreaterThanOrEqual(1)
    expect(sent).toBeLessThan(1.2)
    expect(figures.get('shoal, all nodes')!.median).toBeGreaterThan(0)
    expect(readFileSync(join(folder, 'results.md'), 'utf8')).toContain('| hosts-4 ')
    expect(readFileSync(join(folder, 'comparison.svg'), 'utf8')).toStartWith('<svg')
  }, 240_000)

  test('counts what crosses the line between two zones', async () => {
    const figures = await figuresOf('--scenario', 'zones', '--hosts', '2', '--size', '2', '--compare', 'plain,shoal')
    // One of the two is across it.
    expect(figures.get('shoal, crossed the line')!.median).toBeGreaterThanOrEqual(1)
  }, 240_000)

  test('kills the seed that reads, and a second one brings the rest', async () => {
    const figures = await figuresOf('--scenario', 'seed-killed', '--hosts', '5', '--size', '24')
    expect(figures.get('shoal, slowest host')!.samples).toHaveLength(1)
  }, 240_000)
})

test.each([
  [['--scenario', 'nothing'], '--scenario takes hosts-4'],
  [['--compare', 'plain,carrier-pigeon'], '--compare takes plain'],
  [['--size', '0'], '--size takes a whole number'],
  [['--rate', 'fast'], 'not a rate'],
])('%p is refused with the reason', async (args, reason) => {
  const { code, stderr } = await bench(...args)
  expect(stderr).toContain(reason)
  expect(code).toBe(2)
})
