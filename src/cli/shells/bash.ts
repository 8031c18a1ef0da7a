/** Completions for bash, which need nothing but bash. Pure. */
import type { ProgramDefinition, Value } from '../definitions.ts'

export function bashScript({ name, commands, flags }: ProgramDefinition): string {
  const names = commands.map((command) => command.name)
  const values = commands.flatMap((command) =>
    command.flags.flatMap(({ long, short, value }) => {
      if (!value) return []
      const patterns = [long, ...(short ? [short] : [])].map((flag) => `'${command.name} ${flag}'`)
      return [`    ${patterns.join(' | ')}) ${offered(value)} ;;`]
    }),
  )
  const rest = commands.map((command) => {
    const listed = command.flags.flatMap(({ long, short }) => [long, ...(short ? [short] : [])])
    const [first] = command.arguments
    const otherwise = first ? offered(first.value) : ':'
    return `    ${command.name}) if [[ $cur == -* ]]; then words='${listed.join(' ')}'; else ${otherwise}; fi ;;`
  })
  const own = flags.flatMap(({ long, short }) => [long, ...(short ? [short] : [])])
  // "=" parts words for bash, so --mode=peer comes as three of them.
  return `# Completions of ${name} for bash: source this, or put it into /etc/bash_completion.d
_${name}() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD - 1]} command='' words='' kind='' i
  COMPREPLY=()
  if [[ $cur == '=' ]]; then
    cur=''
  elif [[ $prev == '=' ]]; then
    prev=\${COMP_WORDS[COMP_CWORD - 2]}
  fi
  for ((i = 1; i < COMP_CWORD; i++)); do
    case \${COMP_WORDS[i]} in
    ${names.join(' | ')})
      command=\${COMP_WORDS[i]}
      break
      ;;
    esac
  done
  case "$command $prev" in
${values.join('\n')}
    *)
      case $command in
    '') words='${[...names, ...own].join(' ')}' ;;
${rest.join('\n')}
      esac
      ;;
  esac
  case $kind in
    file)
      compopt -o filenames 2>/dev/null
      mapfile -t COMPREPLY < <(compgen -f -- "$cur")
      ;;
    directory)
      compopt -o filenames 2>/dev/null
      mapfile -t COMPREPLY < <(compgen -d -- "$cur")
      ;;
    *) mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur") ;;
  esac
}
complete -F _${name} ${name}
`
}

function offered(value: Value): string {
  return value.is === 'words' ? `words='${value.words.join(' ')}'` : `kind=${value.is}`
}
