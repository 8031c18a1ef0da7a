/** Flags of a command from the table of settings. Commander collects text; parsing is the configuration's business. */
import { type Command, Option } from 'commander'
import type { Flags } from '../config/given.ts'
import { flagOf, helpOf, type Name, names, settingOf } from '../config/table.ts'

export function addFlags(command: Command, wanted: readonly Name[] = names): Command {
  for (const name of wanted) {
    const { value, many, default: usual } = settingOf(name)
    if (value === undefined) {
      command.option(flagOf(name), helpOf(name))
      if (usual === 'true') command.option(`--no-${name}`, `do not ${settingOf(name).help}`)
      continue
    }
    const option = new Option(`${flagOf(name)} ${value}`, helpOf(name))
    if (many) option.argParser((text: string, before: string[] | undefined) => [...(before ?? []), text])
    command.addOption(option)
  }
  return command
}

/** What the command line said, by setting; what it did not mention is not there. */
export function flagsOf(command: Command, wanted: readonly Name[] = names): Flags {
  const flags: Flags = {}
  for (const name of wanted) {
    const key = camelCase(name)
    if (command.getOptionValueSource(key) !== 'cli') continue
    const value: unknown = command.getOptionValue(key)
    flags[name] = Array.isArray(value) ? value.map(String) : [String(value)]
  }
  return flags
}

/** As commander names what it parsed. */
function camelCase(name: Name): string {
  return name.replace(/-([a-z0-9])/g, (_, letter: string) => letter.toUpperCase())
}
