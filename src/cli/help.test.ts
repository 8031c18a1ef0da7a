import { describe, expect, test } from 'bun:test'
import { FakeContext } from '../../test/fakes/context.ts'
import { type CommandDefinition, definitionOf } from './definitions.ts'
import { manualOf } from './manual.ts'
import { programOf, run } from './program.ts'
import { topics } from './topics/topics.ts'

async function ran(...args: string[]) {
  const context = new FakeContext()
  const code = await run(args, context)
  return { code, out: context.printed.join('\n'), err: context.complained.join('\n') }
}

const definition = definitionOf(await programOf(new FakeContext(), () => {}))
const command = (name: string) => definition.commands.find((each) => each.name === name)!

describe('shoal help', () => {
  test('explains a topic, a command as --help does, and lists both when it is asked for nothing', async () => {
    expect(await ran('help', 'proxy')).toMatchObject({
      code: 0,
      out: expect.stringMatching(/^BEHIND A PROXY\n/),
      err: '',
    })
    expect((await ran('help', 'gc')).out).toBe((await ran('gc', '--help')).out)
    const { code, out } = await ran('help')
    expect({ code, listed: topics.filter(({ name }) => !out.includes(name)) }).toEqual({ code: 0, listed: [] })
    expect(out).toBe((await ran('--help')).out)
  })

  test('of what there is not says so, with what may have been meant', async () => {
    expect(await ran('help', 'enginse')).toMatchObject({
      code: 2,
      out: '',
      err: expect.stringContaining("shoal: there is no command or topic 'enginse'\n(Did you mean engines?)"),
    })
    expect((await ran('help', 'xyzzy')).err).not.toContain('Did you mean')
  })

  test('prints a manual page with each command and topic', async () => {
    const { code, out } = await ran('help', '--man')
    expect(code).toBe(0)
    expect(out).toStartWith('.TH SHOAL 1 ')
    const headings = [...out.matchAll(/^\.SS shoal ([a-z]+(?:\\-[a-z]+)*)/gm)].map(([, name]) =>
      name!.replaceAll('\\-', '-'),
    )
    expect(headings).toEqual(definition.commands.map(({ name }) => name))
    for (const { name } of topics) expect(out).toContain(`.B ${name.replaceAll('-', '\\-')}\n`)
  })
})

test('what a command takes is read from where it is parsed', () => {
  const flag = (of: CommandDefinition, long: string) => of.flags.find((each) => each.long === long)
  expect(flag(command('up'), '--log-level')).toEqual({
    long: '--log-level',
    placeholder: '<level>',
    value: { is: 'words', words: ['debug', 'info', 'warn', 'error'] },
    many: false,
    help: 'debug, info, warn or error (default: info)',
  })
  expect(flag(command('up'), '--join')).toMatchObject({ many: true, value: { is: 'text' } })
  expect(flag(command('up'), '--data-dir')).toMatchObject({ value: { is: 'directory' } })
  expect(flag(command('keygen'), '--output')).toMatchObject({ short: '-o', value: { is: 'file' } })
  expect(flag(command('up'), '--encrypt')).not.toHaveProperty('value')
  expect(command('configure').arguments).toMatchObject([
    { shown: '[engine]', value: { is: 'words', words: ['docker', 'containerd', 'podman', 'cri-o'] } },
  ])
})

test('a manual page says what was meant, whatever the text has of the language of such pages', () => {
  const odd = {
    name: 'odd',
    help: "don't\\it",
    arguments: [],
    flags: [{ long: '--x-y', many: false, help: '.SH\n.x' }],
  }
  const page = manualOf(
    { name: 'shoal', help: '', arguments: [], flags: [], commands: [odd] },
    { version: '1.0', date: '2026-01-02T03:04:05Z', topics: [] },
  )
  expect(page).toStartWith('.TH SHOAL 1 2026-01-02 "shoal 1.0"')
  expect(page).toContain("\nDon't\\eit.\n")
  expect(page).toContain('\n.B \\-\\-x\\-y\n\\&.SH\n\\&.x\n')
})

describe('shoal completions', () => {
  test.each(['bash', 'zsh', 'fish'])('for %s name every command, and every flag of one', async (shell) => {
    const { code, out } = await ran('completions', shell)
    expect(code).toBe(0)
    for (const { name } of definition.commands) expect(out).toContain(name)
    for (const { long } of command('up').flags) expect(out).toContain(shell === 'fish' ? ` -l ${long.slice(2)}` : long)
  })

  test('for a shell that is none of these are wrong usage', async () => {
    expect(await ran('completions', 'tcsh')).toMatchObject({
      code: 2,
      out: '',
      err: expect.stringContaining('bash, zsh, fish'),
    })
  })
})
