/**
 * A node as those see it who watch it: Prometheus, with the configuration that the README shows and the project's rules,
 * and an operator who wants to read more in its log.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { z } from 'zod'
import { builtBinary, LabNode } from '../lab/node.ts'
import { LabProcess } from '../lab/process.ts'
import { tryRun } from '../lab/run.ts'
import { until } from '../lab/until.ts'

const root = join(import.meta.dir, '../..')
const prometheus = Bun.which('prometheus')
const obstacle = existsSync(builtBinary) ? undefined : 'there is no binary: scripts/build'
if (obstacle) console.log(`skipped: a node that is watched: ${obstacle}`)
if (prometheus === null)
  console.log('skipped: a node that Prometheus scrapes: it is not installed (Debian: prometheus)')

const address = '127.0.0.71'
const admin = `${address}:14883`

describe.skipIf(obstacle !== undefined)('a node that runs', () => {
  let dir: string
  let token: string
  let settings: string
  let node: LabNode
  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), 'shoal-watched-'))
    ;[token, settings] = [join(dir, 'admin.token'), join(dir, 'shoal.yaml')]
    writeFileSync(token, 'correct-horse-battery', { mode: 0o600 })
    writeFileSync(settings, 'log-level: info\n')
    node = new LabNode({ address, dir, flags: ['--no-mdns', '--config', settings, '--admin-token-file', token] })
    await node.ready()
  }, 60_000)
  afterAll(async () => {
    await node?.process.stop()
    rmSync(dir, { recursive: true, force: true })
  })

  test.skipIf(prometheus === null)(
    'is scraped by Prometheus as the README says, and no rule finds fault with it',
    async () => {
      const [, shown = ''] =
        /```yaml prometheus\.yml\n(.*?)```/s.exec(readFileSync(join(root, 'README.md'), 'utf8')) ?? []
      const config = shown
        .replace('/etc/prometheus/rules.yaml', join(root, 'scripts/observability/rules.yaml'))
        .replace('/etc/prometheus/shoal-admin.token', token)
        .replace(/targets: \[.*\]/, `targets: ["${admin}"]`)
      writeFileSync(join(dir, 'prometheus.yml'), `global: { scrape_interval: 1s, evaluation_interval: 1s }\n${config}`)
      const listen = '127.0.0.71:14890'
      const flags = [`--config.file=${join(dir, 'prometheus.yml')}`, `--storage.tsdb.path=${join(dir, 'tsdb')}`]
      const watcher = new LabProcess([prometheus!, ...flags, `--web.listen-address=${listen}`], {
        log: join(dir, 'prometheus.log'),
      })
      try {
        const ask = async (path: string) => (await fetch(`http://${listen}/api/v1/${path}`, { proxy: false })).json()
        await until('it has seen the node ready', 30, async () => {
          const answer = queried.safeParse(await ask('query?query=shoal_ready').catch(() => undefined))
          return answer.data?.data.result[0]?.value[1] === '1'
        })
        let rules: z.infer<typeof ruled>['data']['groups'][number]['rules'] = []
        await until('it has looked at every rule', 30, async () => {
          rules = ruled.parse(await ask('rules')).data.groups.flatMap((group) => group.rules)
          return rules.every(({ health }) => health !== 'unknown')
        })
        expect(rules.filter(({ health }) => health !== 'ok')).toEqual([])
        expect(rules.filter(({ state = 'inactive' }) => state !== 'inactive')).toEqual([])
      } catch (error) {
        throw new Error(`${error}\n${watcher.logged().slice(-2000)}`)
      } finally {
        await watcher.stop()
      }
    },
    90_000,
  )

  test('changes what it logs for an operator, and goes back to what its settings say when they are read again', async () => {
    const level = async (...args: string[]) => {
      const command = [builtBinary, 'log-level', ...args, '--admin-addr', admin, '--token-file', token]
      return (await tryRun(command)).stdout.trim()
    }
    expect(await level()).toBe('info')
    expect(await level('debug', '--for', '5m')).toMatch(/^debug until \S+Z, then info$/)
    writeFileSync(settings, 'log-level: warn\n')
    node.process.signal('SIGHUP')
    await until('it has read its settings', 20, async () => (await level()) === 'warn')
    expect(node.process.logged()).toContain('"from":"info","to":"debug","message":"the log level was changed"')
  }, 60_000)

  test('asks for the token that is in its file when it is told to read its settings again, and for no other', async () => {
    const old = join(dir, 'old.token')
    const asked = async (file: string) => {
      const { code } = await tryRun([builtBinary, 'log-level', '--admin-addr', admin, '--token-file', file])
      return code
    }
    copyFileSync(token, old)
    expect([await asked(token), await asked(old)]).toEqual([0, 0])
    writeFileSync(token, 'staple-correct-horse')
    node.process.signal('SIGHUP')
    await until('it asks for the new one', 20, async () => (await asked(token)) === 0)
    expect(await asked(old)).toBe(1)
  }, 60_000)
})

const queried = z.object({
  data: z.object({ result: z.array(z.object({ value: z.tuple([z.number(), z.string()]) })) }),
})
const ruled = z.object({
  data: z.object({
    groups: z.array(
      z.object({
        rules: z.array(
          z.object({
            name: z.string(),
            health: z.string(),
            state: z.string().optional(),
            lastError: z.string().optional(),
          }),
        ),
      }),
    ),
  }),
})
