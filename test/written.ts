/** What texts for operators tell people to write, and whether the program accepts it. */
import { run } from '../src/cli/program.ts'
import { FakeContext } from './fakes/context.ts'

/** The code of all blocks in that language. */
export function codeOf(markdown: string, language: string): string[] {
  return [...markdown.matchAll(/^( *)```(\w+)\n(.*?)^ *```$/gms)]
    .filter(([, , found]) => found === language)
    .map(([, indent, , text]) => text!.replaceAll(new RegExp(`^${indent}`, 'gm'), ''))
}

/** Lines that run this program, continued ones in one. */
export function commandsIn(shell: readonly string[]): string[] {
  return shell.flatMap((text) => text.replaceAll('\\\n', ' ').split('\n')).filter((line) => /^shoal /.test(line))
}

/** A host that has each file which the text names, and on which a node ends as soon as it has started. */
export function contextFor(text: string): FakeContext {
  const context = new FakeContext()
  for (const [, path] of text.matchAll(/-file[: ]+(\S+)/g)) context.files[path!] = 'correct-horse-battery'
  context.endNodes()
  return context
}

/** What is wrong with a line that runs this program: `up` is run as it is, of others the command and its flags are looked up. */
export async function wrongWith(line: string): Promise<string[]> {
  const words = line
    .replace(/ +#.*/, '')
    .split(/ +/)
    .map((word) => word.replace(/^'(.*)'$/, '$1'))
  const [command = '', ...args] = words.slice(1)
  const context = contextFor(line)
  if (command === 'up') {
    const code = await run([command, ...args], context)
    return code === 0 && context.started.length === 1 ? [] : [`exit code ${code}`, ...context.complained]
  }
  const code = await run([command, '--help'], context)
  const help = context.printed.join('\n')
  const unknown = args.filter((arg) => arg.startsWith('-')).filter((flag) => !help.includes(flag))
  return [...(code === 0 ? [] : [`exit code ${code}`]), ...context.complained, ...unknown]
}
