/**
 * Completions for shells, made whole from the definitions. The libraries for it have the shell run the program at each
 * press of the key, with the line as it stands, and complete no paths; a script that knows the words needs neither.
 */
import { Argument, type Command } from 'commander'
import type { Context } from './context.ts'
import { definitionOf, type ProgramDefinition } from './definitions.ts'
import { bashScript } from './shells/bash.ts'
import { fishScript } from './shells/fish.ts'
import { zshScript } from './shells/zsh.ts'

const scripts = { bash: bashScript, zsh: zshScript, fish: fishScript } satisfies Record<
  string,
  (definition: ProgramDefinition) => string
>
type Shell = keyof typeof scripts
export const shells = Object.keys(scripts) as Shell[]

const places = `
  bash   shoal completions bash > /etc/bash_completion.d/shoal
  zsh    shoal completions zsh > /usr/local/share/zsh/site-functions/_shoal
  fish   shoal completions fish > ~/.config/fish/completions/shoal.fish`

/** `shoal completions` */
export function completions(program: Command, context: Context): void {
  program
    .command('completions')
    .description('print what makes a shell complete commands, flags and their values')
    .addArgument(new Argument('<shell>', 'which shell').choices(shells))
    .addHelpText('after', places)
    .action((shell: Shell) => context.out(scripts[shell](definitionOf(program)).trimEnd()))
}
