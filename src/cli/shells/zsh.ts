/** Completions for zsh, by its own `_arguments`. Pure. */
import type { ArgumentDefinition, FlagDefinition, ProgramDefinition, Value } from '../definitions.ts'

export function zshScript({ name, commands, flags }: ProgramDefinition): string {
  const described = commands.map((command) => quoted(`${command.name}:${command.help.replaceAll(':', '\\:')}`))
  const cases = commands.map(
    (command) => `    ${command.name})
      _arguments -s ${[...command.flags.map(flagSpec), ...command.arguments.map(argumentSpec)].join(' \\\n        ')}
      ;;`,
  )
  return `#compdef ${name}
# Completions of ${name} for zsh: put this as _${name} into a folder of $fpath, or source it after compinit
_${name}() {
  local context curcontext=$curcontext state line
  local -a commands
  typeset -A opt_args
  commands=(
    ${described.join('\n    ')}
  )
  _arguments -C ${flags.map(flagSpec).join(' ')} '1:command:->command' '*::argument:->argument' && return
  case $state in
  command) _describe -t commands command commands ;;
  argument)
    case $line[1] in
${cases.join('\n')}
    esac
    ;;
  esac
}
if [[ \${funcstack[1]} == _${name} ]]; then _${name} "$@"; else compdef _${name} ${name}; fi
`
}

function flagSpec({ long, short, value, many, help }: FlagDefinition): string {
  const more = value ? `:${value.is === 'text' ? 'value' : value.is}:${action(value)}` : ''
  const text = (flag: string, equals: string) =>
    quoted(`${many ? '*' : short ? `(${short} ${long})` : ''}${flag}${equals}[${bracketed(help)}]${more}`)
  const names = [text(long, value ? '=' : ''), ...(short ? [text(short, value ? '+' : '')] : [])]
  return names.join(' ')
}

function argumentSpec({ shown, value }: ArgumentDefinition): string {
  const position = shown.includes('...') ? '*' : ''
  const optional = shown.startsWith('[') ? '::' : ':'
  return quoted(`${position}${position ? ':' : optional}${shown.replace(/[<>[\].]/g, '')}:${action(value)}`)
}

function action(value: Value): string {
  if (value.is === 'words') return `(${value.words.join(' ')})`
  if (value.is === 'file') return '_files'
  return value.is === 'directory' ? '_files -/' : ' '
}

const bracketed = (text: string) => text.replace(/[\\[\]:]/g, '\\$&')
const quoted = (text: string) => `'${text.replaceAll("'", "'\\''")}'`
