/** What Prometheus' own tool says of metrics and rules, and whether rules and dashboard speak of metrics that there are. */
import { afterAll, describe, expect, test } from 'bun:test'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Registry } from 'prom-client'
import { parse } from 'yaml'
import { z } from 'zod'
import { createAdmin } from '../../src/admin/admin.ts'
import { snapshotterMetrics } from '../../src/snapshotter/metrics.ts'
import { silentLog } from '../../src/telemetry/log.ts'
import { createMetrics } from '../../src/telemetry/metrics.ts'
import { FakeNodeView } from '../../test/fakes/node-view.ts'
import { dashboard, file } from './dashboard.ts'
import { rows } from './panels.ts'

const promtool = Bun.which('promtool')
if (promtool === null) console.log('skipped: what promtool says: it is not installed (Debian: prometheus)')

const dir = mkdtempSync(join(tmpdir(), 'shoal-observability-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))

const read = (name: string) => readFileSync(join(import.meta.dir, name), 'utf8')
const ruleSchema = z.object({
  expr: z.string(),
  record: z.string().optional(),
  alert: z.string().optional(),
  labels: z.record(z.string(), z.string()).optional(),
  annotations: z.record(z.string(), z.string()).optional(),
})
const { groups } = z
  .object({ groups: z.array(z.object({ rules: z.array(ruleSchema) })) })
  .parse(parse(read('rules.yaml')))
const rules = groups.flatMap((group) => group.rules)
const alerts = rules.filter((rule) => rule.alert !== undefined)
const queries = rows.flatMap(({ panels }) => panels.flatMap((panel) => panel.queries.map(({ expr }) => expr)))

/** Its output, with what it complained of; it says nothing of what is right but that. */
function ask(args: string[], input = ''): { code: number; said: string } {
  const { exitCode, stdout, stderr } = Bun.spawnSync([promtool!, ...args], {
    cwd: import.meta.dir,
    stdin: Buffer.from(input),
  })
  return { code: exitCode, said: stdout.toString() + stderr.toString() }
}

describe.skipIf(promtool === null)('promtool', () => {
  test('finds nothing wrong with the metrics of a node that has counted something of everything', async () => {
    const metrics = createMetrics()
    for (const { name } of await metrics.registry.getMetricsAsJSON()) countOne(metrics, name)
    const app = createAdmin(new FakeNodeView(), metrics, { log: silentLog })
    const answer = await app.request('/metrics')
    expect(ask(['check', 'metrics'], await answer.text())).toEqual({ code: 0, said: '' })
    const snapshotter = snapshotterMetrics(() => [])
    for (const { name } of await snapshotter.registry.getMetricsAsJSON()) countOne(snapshotter, name)
    expect(ask(['check', 'metrics'], await snapshotter.registry.metrics())).toEqual({ code: 0, said: '' })
  })

  test('takes the rules', () => {
    expect(ask(['check', 'rules', 'rules.yaml'])).toEqual({ code: 0, said: expect.stringContaining('SUCCESS') })
  })

  test('sees each alert fire when it should, no earlier, and no other with it', () => {
    const { code, said } = ask(['test', 'rules', 'rules.test.yaml'])
    expect(said).not.toContain('FAILED')
    expect(code).toBe(0)
  }, 60_000)

  test('takes the configuration that the README shows', () => {
    const readme = readFileSync(join(import.meta.dir, '../../README.md'), 'utf8')
    const [, shown = ''] = /```yaml prometheus\.yml\n(.*?)```/s.exec(readme) ?? []
    const path = join(dir, 'prometheus.yml')
    writeFileSync(path, shown)
    expect(shown).toContain('rules.yaml')
    expect(ask(['check', 'config', '--syntax-only', path])).toEqual({
      code: 0,
      said: expect.stringContaining('SUCCESS'),
    })
  })

  test('takes every query of the dashboard', () => {
    // It checks expressions as rules only; what Grafana puts in for its variables is put in by hand.
    const asked = queries.map((expr, i) => ({ record: `query:${i}`, expr: filledIn(expr) }))
    const path = join(dir, 'queries.yaml')
    writeFileSync(path, JSON.stringify({ groups: [{ name: 'queries', rules: asked }] }))
    expect(ask(['check', 'rules', path])).toEqual({ code: 0, said: expect.stringContaining(`${queries.length} rules`) })
  })
})

test('each alert has a case in which it fires, says how bad it is, and what to do', () => {
  const cases = read('rules.test.yaml')
  for (const { alert, labels, annotations } of alerts) {
    expect(cases).toContain(`alertname="${alert}"`)
    expect(['info', 'warning', 'critical']).toContain(labels?.severity ?? 'none')
    expect(annotations?.summary).toMatch(/\w/)
    expect(annotations?.description).toMatch(/[.?]$/)
  }
  // A node is not ready while it ends, 30 s at most: nothing can wait for it to be so any longer.
  expect(alerts.filter(({ expr }) => /shoal_ready(?:\{[^}]*\})? == 0/.test(expr))).toEqual([])
  expect(readFileSync(join(import.meta.dir, '../../README.md'), 'utf8')).toContain(`and ${alerts.length} alerts`)
})

describe('of metrics that there are', () => {
  const { registry } = createMetrics()
  const snapshotter = snapshotterMetrics(() => []).registry
  const metricOf = (name: string) => registry.getSingleMetric(name) ?? snapshotter.getSingleMetric(name)
  const recorded = new Set(rules.map(({ record }) => record))

  /** Names in a query, and the labels it asks for. */
  function* named(expr: string): Generator<[name: string, labels: string[]]> {
    for (const [, name, , matchers = ''] of expr.matchAll(/\b((?:shoal|process)[_:][a-z0-9_:]+)\b(\{([^}]*)\})?/g)) {
      yield [name!, [...matchers.matchAll(/([a-z_]+)(?:=|!)/g)].map(([, label]) => label!)]
    }
  }

  test.each([...rules.map(({ expr }) => expr), ...queries])('%s', (expr) => {
    for (const [name, labels] of named(expr)) {
      if (recorded.has(name)) continue
      const base = metricOf(name) ?? metricOf(name.replace(/_(bucket|sum|count)$/, ''))
      expect(base, name).toBeDefined()
      const known = base && 'labelNames' in base ? (base.labelNames as string[]) : []
      for (const label of labels) expect(['job', 'instance', ...known]).toContain(label)
    }
  })

  test('each is on the dashboard', async () => {
    const shown = new Set(queries.flatMap((expr) => [...named(expr)].map(([name]) => name.replace(/_bucket$/, ''))))
    const listed = await Promise.all([registry, snapshotter].map((each) => each.getMetricsAsJSON()))
    const all = listed.flat().map(({ name }) => name)
    expect(all.filter((name) => !shown.has(name))).toEqual([])
  })
})

test('the file that people import is what the panels make: else run bun scripts/observability/dashboard.ts', () => {
  // To JSON and back: what is undefined is not in the file.
  expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual(JSON.parse(JSON.stringify(dashboard())))
})

/** One event, with every label set to something. */
function countOne({ registry }: { registry: Registry }, name: string): void {
  const metric = registry.getSingleMetric(name)!
  const names = 'labelNames' in metric ? (metric.labelNames as string[]) : []
  const labels = Object.fromEntries(names.map((label) => [label, 'some']))
  if ('observe' in metric) (metric.observe as (labels: object, value: number) => void)(labels, 1)
  else if ('inc' in metric) (metric.inc as (labels: object, value: number) => void)(labels, 1)
}

function filledIn(expr: string): string {
  return expr.replaceAll('$scope', 'job=~".+"').replaceAll(/\$__(rate_interval|range)/g, '5m')
}
