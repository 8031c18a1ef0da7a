/**
 * The README against the code: what it lists is what there is, and what it tells people to write is accepted. Tables are
 * compared as whole texts, so that a failure prints the table as it should be.
 */
import { describe, expect, test } from 'bun:test'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createAdmin } from '../src/admin/admin.ts'
import { programOf, run } from '../src/cli/program.ts'
import { flagOf, names, settingOf, variableOf } from '../src/config/table.ts'
import { toggle } from '../src/config/values.ts'
import { harbor } from '../src/harbor/harbor.ts'
import { copied } from '../src/install/places.ts'
import { decided } from '../src/kubernetes/manifests.ts'
import { snapshotterMetrics } from '../src/snapshotter/metrics.ts'
import { silentLog } from '../src/telemetry/log.ts'
import { createMetrics } from '../src/telemetry/metrics.ts'
import { dashboard } from '../src/ui/dashboard.ts'
import { FakeContext } from './fakes/context.ts'
import { FakeNodeView } from './fakes/node-view.ts'
import { codeOf, commandsIn, contextFor, wrongWith } from './written.ts'

const root = join(import.meta.dir, '..')
const readme = readFileSync(join(root, 'README.md'), 'utf8')

/** What stands between `<!-- name -->` and `<!-- /name -->`. @throws unless there is exactly one such place */
function block(name: string): string {
  const parts = readme.split(`<!-- ${name} -->`)
  const inside = parts[1]?.split(`<!-- /${name} -->`)
  if (parts.length !== 2 || inside?.length !== 2) throw new Error(`README.md has no block ${name}, or more than one`)
  return inside[0]!.trim()
}

const code = (language: string) => codeOf(readme, language)

/** First cells of a table, without the backquotes. */
const firstCells = (table: string) => [...table.matchAll(/^\| `([^`]+)` +\|/gm)].map(([, cell]) => cell!)

/** A table as the formatter has it. */
function tableOf(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((_, i) => Math.max(3, ...[head, ...rows].map((cells) => cells[i]!.length)))
  const line = (cells: readonly string[]) => `| ${cells.map((cell, i) => cell.padEnd(widths[i]!)).join(' | ')} |`
  return [line(head), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join('\n')
}

function flagRow(name: (typeof names)[number]): string[] {
  const { value, shown, default: usual, help, kind } = settingOf(name)
  const flag = value ? `${flagOf(name)} ${value}` : usual === 'true' ? `--[no-]${name}` : flagOf(name)
  const words = kind === toggle ? (usual === 'true' ? 'on' : 'off') : (shown ?? (usual as string | undefined))
  const key = name === 'config' ? '' : `\`${name}\``
  return [`\`${flag}\``, key, `\`${variableOf(name)}\``, words ?? '', help]
}

describe('what the README lists is what there is', () => {
  test('every flag, with its key, variable, default and meaning', () => {
    expect(block('flags')).toBe(tableOf(['flag', 'YAML key', 'variable', 'default', 'meaning'], names.map(flagRow)))
  })

  test('every metric, with its labels, type and meaning', async () => {
    const { registry } = createMetrics()
    const rows = (await registry.getMetricsAsJSON()).map(({ name, help, type }) => {
      const metric = registry.getSingleMetric(name)
      const labels = metric && 'labelNames' in metric ? (metric.labelNames as string[]) : []
      return [`\`${name}${labels.length > 0 ? `{${labels.join(',')}}` : ''}\``, String(type), help]
    })
    expect(block('metrics')).toBe(tableOf(['metric', 'type', 'meaning'], rows))
  })

  test('every metric of the snapshotter', async () => {
    const { registry } = snapshotterMetrics(() => [])
    const rows = (await registry.getMetricsAsJSON()).map(({ name, help, type }) => {
      const metric = registry.getSingleMetric(name)
      const labels = metric && 'labelNames' in metric ? (metric.labelNames as string[]) : []
      return [`\`${name}${labels.length > 0 ? `{${labels.join(',')}}` : ''}\``, String(type), help]
    })
    expect(block('snapshotter-metrics')).toBe(tableOf(['metric', 'type', 'meaning'], rows))
  })

  test('every command', async () => {
    const context = new FakeContext()
    await run(['--help'], context)
    const [, listed = ''] = context.printed.join('\n').split('\nCommands:\n')
    const commands = [...listed.matchAll(/^ {2}([a-z-]+) /gm)].map(([, name]) => `shoal ${name}`)
    expect(commands).not.toEqual([])
    expect(firstCells(block('commands')).sort()).toEqual(commands.sort())
  })

  test('flags of the services of lazy images, with their defaults and meanings', async () => {
    const program = await programOf(new FakeContext(), () => {})
    const wanted = {
      mounter: ['--limit', '--read-deadline'],
      snapshotter: ['--index-wait', '--node', '--metrics-addr'],
    }
    const rows = Object.entries(wanted).flatMap(([name, flags]) => {
      const { options } = program.commands.find((command) => command.name() === name)!
      return flags.map((flag) => {
        const {
          flags: shown,
          defaultValue,
          defaultValueDescription,
          description,
        } = options.find(({ long }) => long === flag)!
        const started = flag === '--metrics-addr' ? '127.0.0.1:4884' : (defaultValueDescription ?? String(defaultValue))
        return [`\`${shown}\``, name, started, description.replace(/ \(default: .*\)$/, '')]
      })
    })
    expect(block('lazy-flags')).toBe(tableOf(['flag', 'service', 'default', 'meaning'], rows))
    const unit = readFileSync(join(root, 'systemd/shoal-snapshotter.service'), 'utf8')
    expect(unit).toContain('--metrics-addr 127.0.0.1:4884 ')
  })

  test('each file that the service reads a copy of, and where that is', () => {
    const rows = names.flatMap((name) => (copied[name] ? [[`\`${flagOf(name)}\``, `\`${copied[name]}\``]] : []))
    expect(block('copies')).toBe(tableOf(['flag', 'copy'], rows))
  })

  test('each flag that is refused with --kubernetes', () => {
    const [, said = ''] = /What the manifests themselves decide is refused \(([^)]*)\)/.exec(readme) ?? []
    expect(said.split(/,\s+/)).toEqual(decided.map((name) => `\`${flagOf(name)}\``))
  })

  test('every endpoint of the admin port', () => {
    const view = new FakeNodeView()
    const none = { names: () => [], notReady: () => [], addressOf: () => undefined }
    const provider = harbor({ ...none, preheats: view.preheats, log: silentLog })
    const { routes } = createAdmin(view, createMetrics(), { log: silentLog, pages: dashboard(), provider })
    // What looks at every request is no endpoint.
    const endpoints = routes.flatMap(({ method, path }) => (method === 'ALL' ? [] : [`${method} ${path}`]))
    expect(firstCells(block('endpoints')).sort()).toEqual(endpoints.sort())
  })

  test('every file and folder it names exists', () => {
    const paths = new Set(readme.match(/(?<![\w./-])(?:scripts|src|test|systemd)\/[\w.-]+(?:\/[\w.-]+)*/g))
    expect(paths.size).toBeGreaterThan(10)
    const missing = [...paths].filter((path) => !existsSync(join(root, path.replace(/\.$/, ''))))
    expect(missing).toEqual([])
  })

  test('every heading it points to', () => {
    const headings = [...readme.matchAll(/^#+ (.+)$/gm)].map(([, text]) => text!.toLowerCase())
    const anchors = headings.map((text) => text.replace(/[^a-z0-9 -]/g, '').replaceAll(' ', '-'))
    const links = [...readme.matchAll(/\]\(#([^)]+)\)/g)].map(([, anchor]) => anchor!)
    expect(links).not.toEqual([])
    expect(links.filter((link) => !anchors.includes(link))).toEqual([])
  })

  test.each(['demo', 'bench', 'simulate', 'memory', 'bad-input'])('what %s printed has its place', (name) => {
    expect(block(name)).not.toBe('')
  })
})

describe('what the README tells people to write is accepted', () => {
  const shell = code('sh')

  test.each(commandsIn(shell))('%s', async (line) => {
    expect(await wrongWith(line)).toEqual([])
  })

  test('each shell snippet is shell', () => {
    for (const text of shell) {
      const { stderr } = Bun.spawnSync(['bash', '-n'], { stdin: new TextEncoder().encode(text) })
      expect(stderr.toString()).toBe('')
    }
  })

  test.each(code('yaml'))('configuration file %#', async (text) => {
    const context = contextFor(text)
    context.files['/shoal.yaml'] = text
    expect([await run(['up', '--config', '/shoal.yaml'], context), context.complained]).toEqual([0, []])
  })

  test.each(code('json'))('JSON %#', (text) => {
    expect(JSON.parse(text)).toBeObject()
  })

  test.each(code('toml'))('TOML %#', (text) => {
    expect(Bun.TOML.parse(text)).not.toEqual({})
  })
})
