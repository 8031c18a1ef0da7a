/** Help topics and what doctor tells people to do, against the code: commands, flags, and words of the log. */
import { describe, expect, test } from 'bun:test'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { definitionOf } from '../src/cli/definitions.ts'
import { pageOf } from '../src/cli/topics/page.ts'
import { topics } from '../src/cli/topics/topics.ts'
import { type Name, names } from '../src/config/table.ts'
import type { Files } from '../src/configure/plan.ts'
import { planOf } from '../src/configure/setup.ts'
import { codeOf, commandsIn, wrongWith } from './written.ts'

const root = join(import.meta.dir, '..')
const folder = join(root, 'src', 'cli', 'topics')
const texts = topics.map(({ name }) => [name, readFileSync(join(folder, `${name}.md`), 'utf8')] as const)

test('each text in the folder is a topic, and the README links to it', () => {
  const files = readdirSync(folder).filter((name) => name.endsWith('.md'))
  expect(files.sort()).toEqual(topics.map(({ name }) => `${name}.md`).sort())
  const readme = readFileSync(join(root, 'README.md'), 'utf8')
  expect(files.filter((name) => !readme.includes(`(src/cli/topics/${name})`))).toEqual([])
})

describe.each(texts)('shoal help %s', (_, text) => {
  const shell = codeOf(text, 'sh')
  test('has lines that a terminal has room for', () => {
    expect(text.split('\n').filter((line) => line.length > 100)).toEqual([])
    expect(text.endsWith('\n')).toBe(true)
  })

  test('tells people to write what is accepted', async () => {
    const wrong = await Promise.all(commandsIn(shell).map(async (line) => [line, ...(await wrongWith(line))]))
    expect(wrong.filter(([, ...problems]) => problems.length > 0)).toEqual([])
    for (const snippet of shell) {
      const { stderr } = Bun.spawnSync(['bash', '-n'], { stdin: new TextEncoder().encode(snippet) })
      expect(stderr.toString()).toBe('')
    }
  })

  test('names flags, commands and topics that there are', async () => {
    const { flags, commands } = await known()
    const named = [...text.matchAll(/(?<![\w-])--[a-z][a-z-]+/g)].map(([flag]) => flag)
    // Flags of other programs.
    const others = new Set(['--all', '--dest-tls-verify', '--hosts-dir'])
    expect(named.filter((flag) => !flags.has(flag) && !others.has(flag))).toEqual([])
    const told = [...text.matchAll(/`shoal\s([a-z-]+)(?:\s([a-z-]+))?/g)]
    expect(told.filter(([, command]) => !commands.has(command!))).toEqual([])
    const referred = told.flatMap(([, command, about]) => (command === 'help' && about ? [about] : []))
    expect(referred.filter((name) => !topics.some((topic) => topic.name === name))).toEqual([])
  })
})

test('what troubleshooting quotes from the log is logged', () => {
  const [, text = ''] = texts.find(([name]) => name === 'troubleshooting')!
  const prose = text.replaceAll(/^```.*?^```$/gms, '').replaceAll(/\s+/g, ' ')
  const quoted = [...prose.matchAll(/`([a-z][^`]+ [^`]+)`/g)].map(([, words]) => words!)
  const sentences = quoted.filter((words) => !/^(shoal|docker|curl|chown) |^shoal_/.test(words))
  expect(sentences.length).toBeGreaterThan(4)
  const source = [...new Bun.Glob('**/*.ts').scanSync(join(root, 'src'))]
    .filter((path) => !path.endsWith('.test.ts'))
    .map((path) => readFileSync(join(root, 'src', path), 'utf8'))
    .join('\n')
  const missing = sentences.filter((words) => !words.split(/\.\.\.\)?/).every((part) => source.includes(part.trim())))
  expect(missing).toEqual([])
})

describe('what recipes promise of hosts.toml', () => {
  const path = '/etc/containerd/certs.d/docker.io/hosts.toml'
  const configured = (before: string) => {
    const files: Files = {
      read: (name) => (name === path ? before : name.endsWith('config.toml') ? 'version = 2\n' : undefined),
      list: (folder) => (folder.endsWith('certs.d') ? ['docker.io'] : []),
    }
    const setting = { engine: 'containerd', file: '/etc/containerd/config.toml', flags: [] } as const
    const wanted = { mirrors: ['http://127.0.0.1:4880'], former: [], registries: ['docker.io'] }
    const edit = planOf(setting, files, wanted).edits.find((each) => each.path === path)
    return Bun.TOML.parse(edit?.after ?? '') as { host: Record<string, { capabilities: string[]; header?: unknown }> }
  }

  test("Dragonfly's entry stays with its header, and is asked after the node", () => {
    const { host } = configured(`server = "https://index.docker.io"

[host."http://127.0.0.1:4001"]
  capabilities = ["pull", "resolve"]
  [host."http://127.0.0.1:4001".header]
    X-Dragonfly-Registry = ["https://index.docker.io"]
`)
    expect(Object.keys(host)).toEqual(['http://127.0.0.1:4880', 'http://127.0.0.1:4001'])
    expect(host['http://127.0.0.1:4001']?.header).toEqual({ 'X-Dragonfly-Registry': ['https://index.docker.io'] })
  })

  test("Spegel's entries stay, and are asked after the node", () => {
    const { host } = configured(`server = 'https://registry-1.docker.io'

[host.'http://10.0.0.4:30020']
capabilities = ['pull', 'resolve']
dial_timeout = '200ms'

[host.'http://10.0.0.4:30021']
capabilities = ['pull', 'resolve']
dial_timeout = '200ms'
`)
    const spegel = [30020, 30021].map((port) => `http://10.0.0.4:${port}`)
    expect(Object.keys(host)).toEqual(['http://127.0.0.1:4880', ...spegel])
  })
})

test('no topic says that what a flag does is not there', () => {
  const stale = { push: /takes no pushes|pushes\W+none/, 'engine-content': /twice|layers of their own/ }
  for (const [flag, denial] of Object.entries(stale)) {
    expect(names).toContain(flag as Name)
    const denied = texts.filter(([, text]) => denial.test(text.replaceAll(/\s+/g, ' ')))
    expect(denied.map(([name]) => name)).toEqual([])
  }
})

test('what doctor says to do is accepted', async () => {
  const { flags, commands } = await known()
  const source = readdirSync(join(root, 'src', 'doctor'))
    .filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'))
    .map((name) => readFileSync(join(root, 'src', 'doctor', name), 'utf8'))
    .join('\n')
  const told = [...source.matchAll(/['`;(] ?shoal ([a-z-]+)((?: --[a-z-]+)?)/g)]
  expect(told.length).toBeGreaterThan(15)
  expect(told.filter(([, command]) => !commands.has(command!)).map(([said]) => said)).toEqual([])
  const unknown = told.filter(([, , flag]) => flag && !flags.has(flag.trim())).map(([said]) => said)
  expect(unknown).toEqual([])
  const set = [...source.matchAll(/\.set\(['`](--[a-z-]+)/g)].map(([, flag]) => flag!)
  expect(set.length).toBeGreaterThan(5)
  expect(set.filter((flag) => !flags.has(flag))).toEqual([])
})

test('a page has its title and headings in capitals, and code further in without fences', () => {
  const body = '## Then\n\nSay **this**:\n\n```sh\nshoal up\n\n## no heading\n```\n'
  expect(pageOf({ name: 'x', title: 'First', body })).toBe(
    'FIRST\n\nTHEN\n\nSay this:\n\n    shoal up\n\n    ## no heading',
  )
})

/** All flags and commands there are. */
async function known() {
  const { programOf } = await import('../src/cli/program.ts')
  const { FakeContext } = await import('./fakes/context.ts')
  const definition = definitionOf(await programOf(new FakeContext(), () => {}))
  return {
    flags: new Set(definition.commands.flatMap((command) => command.flags.map(({ long }) => long))),
    commands: new Set(definition.commands.map(({ name }) => name)),
  }
}
