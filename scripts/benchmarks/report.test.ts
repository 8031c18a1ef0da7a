import { describe, expect, test } from 'bun:test'
import { chartsOf } from './charts.ts'
import { afterLastStart, heatFigures, type Lap } from './laps.ts'
import { markdownOf, merged, rowsOf } from './report.ts'
import { measure, type Result, type RunnerOptions } from './runner.ts'
import type { Figure, Scenario, Shape } from './scenario.ts'

const shape: Shape = { hosts: 2, rate: '100mbit', size: 64 * 2 ** 20, layers: 1 }
const asked: RunnerOptions = {
  runs: 3,
  quick: false,
  shape: {},
  arrangement: undefined,
  compare: new Set(['shoal']),
}

function scenario(run: Scenario['run'], name = 'example'): Scenario {
  return { name, title: 'an example', against: 'one plain stream', shape, quick: { size: 2 ** 20 }, run }
}

const slowest = (value: number): Figure => ({
  name: 'shoal, slowest host',
  value,
  unit: 'times one plain stream',
  reach: { atMost: 1.1 },
  contender: 'shoal',
  samples: [value / 2, value],
})

const measured = (values: readonly number[], options: Partial<RunnerOptions> = {}): Promise<Result> =>
  measure(
    scenario(async ({ seed }) => [slowest(values[seed - 1]!)]),
    { ...asked, runs: values.length, ...options },
    () => {},
  )

describe('a scenario', () => {
  test('is judged by the median of its runs', async () => {
    expect(rowsOf([await measured([1.05, 1.4, 1])])).toEqual([
      ['example', 'shoal, slowest host', '1.05', '1.00..1.40', 'times one plain stream', 'at most 1.10', 'yes'],
    ])
    expect(rowsOf([await measured([1.05, 1.4, 1.2])])[0]?.at(-1)).toBe('no')
  })

  test.each([{ quick: true }, { shape: { hosts: 3 } }, { arrangement: 'split' as const }])(
    'in another shape than its own is not judged: %p',
    async (otherwise) => {
      const result = await measured([1], otherwise)
      expect(rowsOf([result])[0]?.at(-1)).toBe('another shape')
      expect([...chartsOf([result]).keys()]).not.toContain('reach.svg')
    },
  )

  test('that fails keeps the figures of the runs before, and says why', async () => {
    const failing = scenario(async ({ seed }) => {
      if (seed === 2) throw new Error('no route to host\nand more')
      return [slowest(1)]
    })
    const said: string[] = []
    const result = await measure(failing, asked, (text) => said.push(text))
    expect(result).toMatchObject({ runs: 1, failed: 'no route to host\nand more' })
    expect(rowsOf([result]).map(([, figure]) => figure)).toEqual(['shoal, slowest host', 'failed: no route to host'])
    expect(said.join('\n')).toContain('FAILED: no route to host')
  })
})

describe('laps', () => {
  const lap = (host: string, began: number, ended: number): Lap => ({ host, began, ended })
  const laps = [lap('a', 0, 4000), lap('b', 2000, 5000)]

  test('are measured each from its own start, as multiples of the plain stream', () => {
    const heats = new Map([['shoal', { laps, busy: 0.5, cost: { bytes: 2e9, cpuSeconds: 3 } }]] as const)
    const figures = heatFigures(heats, { plainSeconds: 2, reach: { atMost: 1.1 } })
    expect(figures.map(({ name, value }) => [name, value])).toEqual([
      ['one plain stream', 2],
      ['shoal, slowest host', 2],
      ['shoal, all nodes', 1.5],
      ['shoal, machine at work', 0.5],
    ])
    expect(figures[1]).toMatchObject({ reach: { atMost: 1.1 }, samples: [2, 1.5] })
  })

  test('or from the start of the last', () => {
    expect(afterLastStart(laps)).toEqual([2, 3])
  })
})

describe('a report', () => {
  const machine = { cpu: 'some CPU', cores: 2, memoryGiB: 4, kernel: '6.1', bun: '1.4.5' }
  const about = { date: '2026-01-01', version: 'shoal 0.1.0', command: 'scripts/bench' }
  const entry = (result: Result) => ({ ...result, ...about })

  test('is a table that Markdown reads, whatever a cell holds', async () => {
    const odd = scenario(async () => [{ name: 'a | b', value: 123.4, unit: 'ms' }], 'odd')
    const results = [entry(await measured([1])), entry(await measure(odd, asked, () => {}))]
    const text = markdownOf({ machine, results })
    const table = text.split('\n').filter((line) => line.startsWith('|'))
    expect(table).toHaveLength(4)
    for (const line of table) expect(line.replaceAll('\\|', '').match(/\|/g)).toHaveLength(8)
    expect(new Set(table.map(({ length }) => length)).size).toBe(1)
    expect(text).toContain('2 x 100mbit, 64 MiB')
    expect(table[3]).toContain('| odd      | a \\| b')
  })

  test('keeps what the same machine measured of other scenarios, and replaces what is measured anew', async () => {
    const other = entry(
      await measure(
        scenario(async () => [slowest(2)], 'other'),
        { ...asked, runs: 1 },
        () => {},
      ),
    )
    const names = ['example', 'other']
    const first = merged(undefined, machine, other, names)
    const both = merged(first, machine, entry(await measured([1])), names)
    expect(both.results.map(({ scenario, figures }) => [scenario, figures[0]?.median])).toEqual([
      ['example', 1],
      ['other', 2],
    ])
    const again = merged(both, machine, entry(await measured([3])), names)
    expect(again.results.map(({ figures }) => figures[0]?.median)).toEqual([3, 2])
    expect(merged(both, { ...machine, cores: 64 }, other, names).results).toEqual([other])
  })

  test('has a chart of what is compared, of each race and of what is judged, and each is SVG with its labels', async () => {
    const charts = chartsOf([await measured([1.05, 1.4, 1])])
    expect([...charts.keys()].sort()).toEqual(['comparison.svg', 'example.svg', 'reach.svg'])
    for (const svg of charts.values()) expect(svg).toStartWith('<svg')
    expect(charts.get('comparison.svg')).toContain('times one plain stream')
    expect(charts.get('reach.svg')).toContain('example: shoal, slowest host')
  })

  test('without figures has no charts', async () => {
    const failing = scenario(async () => {
      throw new Error('nothing works')
    })
    expect(chartsOf([await measure(failing, asked, () => {})]).size).toBe(0)
  })
})
