/** The command line as plain data, read from the definitions that parse it: what manual and completions are made of. */
import type { Command, Help, Option } from 'commander'
import { isName, settingOf } from '../config/table.ts'
import { wordsOf } from '../config/values.ts'

/** What can stand in a place: one of some words, a path, or something that nobody knows beforehand. */
export type Value =
  | { readonly is: 'words'; readonly words: readonly string[] }
  | { readonly is: 'file' | 'directory' | 'text' }

export interface FlagDefinition {
  /** `--mode`, `-o` */
  readonly long: string
  readonly short?: string
  /** As help has it: `<modes>`; absent for a flag without a value. */
  readonly placeholder?: string
  readonly value?: Value
  /** Given more than once it counts each time. */
  readonly many: boolean
  readonly help: string
}

export interface ArgumentDefinition {
  /** `[name]`, `<image...>` */
  readonly shown: string
  readonly value: Value
  readonly help: string
}

export interface CommandDefinition {
  readonly name: string
  readonly help: string
  readonly arguments: readonly ArgumentDefinition[]
  readonly flags: readonly FlagDefinition[]
}

export interface ProgramDefinition extends CommandDefinition {
  readonly commands: readonly CommandDefinition[]
}

export function definitionOf(program: Command): ProgramDefinition {
  const shown = program.createHelp().visibleCommands(program)
  return { ...commandOf(program), commands: shown.map(commandOf) }
}

function commandOf(command: Command): CommandDefinition {
  return {
    name: command.name(),
    help: command.description(),
    arguments: command.registeredArguments.map((argument) => {
      const inner = `${argument.name()}${argument.variadic ? '...' : ''}`
      return {
        shown: argument.required ? `<${inner}>` : `[${inner}]`,
        value: meantBy(argument.name(), argument.argChoices ?? []),
        help: argument.description,
      }
    }),
    flags: command
      .createHelp()
      .visibleOptions(command)
      .map((option) => flagOf(option, command.createHelp())),
  }
}

function flagOf(option: Option, shown: Help): FlagDefinition {
  const { long, short, flags, description, required, optional, argChoices } = option
  const name = long?.replace(/^--/, '') ?? ''
  const setting = isName(name) ? settingOf(name) : undefined
  const placeholder = /[<[]([^>\]]+)[>\]]$/.exec(flags)?.[0]
  return {
    long: long ?? flags,
    ...(short === undefined || short === long ? {} : { short }),
    ...(placeholder === undefined || !(required || optional)
      ? {}
      : {
          placeholder,
          value: meantBy(placeholder.slice(1, -1), argChoices ?? (setting ? wordsOf(setting.kind) : [])),
        }),
    many: option.variadic || (setting?.many ?? description.includes('repeatable')),
    // With the default, where there is one.
    help: shown.optionDescription(option),
  }
}

/** Placeholders say what is meant, so that there is no second list of it. */
function meantBy(placeholder: string, words: readonly string[]): Value {
  if (words.length > 0) return { is: 'words', words }
  if (placeholder === 'file' || placeholder === 'path') return { is: 'file' }
  return { is: placeholder === 'dir' ? 'directory' : 'text' }
}
