/** Completions for fish. Pure. */
import type { FlagDefinition, ProgramDefinition, Value } from '../definitions.ts'

export function fishScript({ name, commands, flags }: ProgramDefinition): string {
  const first = quoted(`not __fish_seen_subcommand_from ${commands.map((command) => command.name).join(' ')}`)
  const lines = [
    `# Completions of ${name} for fish: put this as ${name}.fish into ~/.config/fish/completions`,
    `complete -c ${name} -f`,
    ...flags.map((flag) => `complete -c ${name} -n ${first}${flagSpec(flag)}`),
    ...commands.flatMap((command) => {
      const within = quoted(`__fish_seen_subcommand_from ${command.name}`)
      const [argument] = command.arguments
      return [
        `complete -c ${name} -n ${first} -a ${command.name} -d ${quoted(command.help)}`,
        ...command.flags.map((flag) => `complete -c ${name} -n ${within}${flagSpec(flag)}`),
        ...(argument && argument.value.is !== 'text'
          ? [`complete -c ${name} -n ${within}${offered(argument.value)}`]
          : []),
      ]
    }),
  ]
  return `${lines.join('\n')}\n`
}

function flagSpec({ long, short, value, help }: FlagDefinition): string {
  const names = ` -l ${long.replace(/^--/, '')}${short ? ` -s ${short.slice(1)}` : ''}`
  return `${names}${value ? ` -r${offered(value)}` : ''} -d ${quoted(help)}`
}

function offered(value: Value): string {
  if (value.is === 'words') return ` -f -a ${quoted(value.words.join(' '))}`
  if (value.is === 'file') return ' -F'
  return value.is === 'directory' ? ' -f -a "(__fish_complete_directories)"' : ' -f'
}

const quoted = (text: string) => `'${text.replace(/[\\']/g, '\\$&')}'`
