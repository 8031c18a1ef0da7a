/** The manual page shoal(1), in man(7) macros, from the definitions and the topics. Pure. */
import { names, variableOf } from '../config/table.ts'
import { places } from '../install/places.ts'
import type { CommandDefinition, FlagDefinition, ProgramDefinition } from './definitions.ts'

export interface ManualInit {
  readonly version: string
  /** ISO date of the build; whatever else it is stands there as it is. */
  readonly date: string
  readonly topics: readonly { readonly name: string; readonly title: string }[]
}

/** A command that takes so many of the settings takes them all, and they are explained once. */
const allSettings = 10

export function manualOf(program: ProgramDefinition, { version, date, topics }: ManualInit): string {
  const { name, help, commands } = program
  const settings = new Set(commands.find((command) => command.name === 'up')?.flags.map(({ long }) => long))
  return [
    `.TH ${name.toUpperCase()} 1 ${date.slice(0, 10)} "${name} ${version}" "User Commands"`,
    section('NAME', [`${name} \\- ${escaped('P2P distribution of container images')}`]),
    section('SYNOPSIS', [`.B ${name}`, '.I command', '.RI [ flags ]']),
    section('DESCRIPTION', [
      escaped(help),
      '.PP',
      escaped(
        'One binary per host: a registry mirror on the loopback, which the engine of the host is pointed at, and a peer-to-peer node behind it.',
      ),
    ]),
    section(
      'COMMANDS',
      commands.flatMap((command) => commandLines(name, command, settings)),
    ),
    section(
      'ENVIRONMENT',
      names.flatMap((setting) => entry(`.B ${escaped(variableOf(setting))}`, `as the flag --${setting} of ${name} up`)),
    ),
    section('FILES', [
      ...entry(`.I ${escaped(places.settings)}`, 'settings, by the names of the flags'),
      ...entry(`.I ${escaped(places.variables)}`, 'variables of the service'),
      ...entry('.I /var/lib/shoal', 'blobs, catalog and key of the node'),
      ...entry(`.I ${escaped(places.undo)}`, "engines' files as they were before shoal configure"),
    ]),
    section('EXIT STATUS', ['0 done, 1 failed, 2 wrong usage.']),
    section('TOPICS', [
      escaped(`${name} help followed by one of these prints a short text:`),
      ...topics.flatMap((topic) => entry(`.B ${escaped(topic.name)}`, topic.title)),
    ]),
    section('SEE ALSO', ['.BR dockerd (8),', '.BR containerd (8),', '.BR containers\\-registries.conf (5)']),
  ].join('\n')
}

function commandLines(name: string, command: CommandDefinition, settings: ReadonlySet<string>): string[] {
  const shared = command.name === 'up' ? [] : command.flags.filter(({ long }) => settings.has(long))
  const own = shared.length < allSettings ? command.flags : command.flags.filter((flag) => !shared.includes(flag))
  const usage = [name, command.name, ...command.arguments.map((argument) => argument.shown)].join(' ')
  return [
    `.SS ${escaped(usage)}`,
    `${escaped(sentence(command.help))}`,
    ...command.arguments.flatMap(({ shown, value, help }) => {
      const words = value.is === 'words' && value.words.length < 10 ? value.words.join(', ') : ''
      const said = [help, words].filter((part) => part !== '').join(': ')
      return said === '' ? [] : entry(`.I ${escaped(shown)}`, said)
    }),
    ...(own.length < command.flags.length ? ['.PP', escaped(`Takes the flags of ${name} up too.`)] : []),
    ...own.filter(({ long }) => long !== '--help').flatMap((flag) => entry(flagHead(flag), flag.help)),
  ]
}

function flagHead({ long, short, placeholder }: FlagDefinition): string {
  const names = [...(short ? [short] : []), long].join(', ')
  return placeholder ? `.BI "${escaped(names)} " ${escaped(placeholder)}` : `.B ${escaped(names)}`
}

/** A tagged paragraph. */
const entry = (head: string, text: string) => ['.TP', head, escaped(text)]
const section = (title: string, lines: readonly string[]) => [`.SH ${title}`, ...lines].join('\n')
const sentence = (text: string) => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`

/** Hyphens that are to be copied from the page are minus signs, and a line must not begin as a macro does. */
function escaped(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replace(/^(?=[.'])/gm, '\\&')
}
