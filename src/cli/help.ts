/** `shoal help`: of a command what `--help` prints, of a topic a page, and all of it as a manual page. */
import { Argument, type Command } from 'commander'
import { closestMatch } from 'leven'
import { buildInfo } from '../build-info.ts'
import type { Context } from './context.ts'
import { definitionOf } from './definitions.ts'
import { manualOf } from './manual.ts'
import { pageOf } from './topics/page.ts'
import { topics } from './topics/topics.ts'

/** `shoal help`. Last of the commands, for it knows the others. */
export function help(program: Command, context: Context): void {
  const named = [...program.commands.map((command) => command.name()), 'help', ...topics.map(({ name }) => name)]
  const about = new Argument('[about]', 'a command or a topic')
  // Listed for completions; what is wrong is said better below.
  about.argChoices = named
  const command = program
    .command('help')
    .description('explain a command or a topic')
    .addArgument(about)
    .configureHelp({ argumentDescription: ({ description }) => description })
    .option('--man', 'print the manual page, for man(1)')
    .addHelpText('after', `\n${listOfTopics()}`)
    .action((name: string | undefined, options: { man?: boolean }) => {
      if (options.man) return context.out(manualOf(definitionOf(program), { ...buildInfo, topics }))
      if (name === undefined) return program.outputHelp()
      const topic = topics.find((each) => each.name === name)
      if (topic) return context.out(pageOf(topic))
      const explained = program.commands.find((each) => each.name() === name)
      if (explained) return explained.outputHelp()
      const near = closestMatch(name, named, { maxDistance: Math.max(1, Math.floor(name.length / 3)) })
      const meant = near ? `\n(Did you mean ${near}?)` : ''
      command.error(`error: there is no command or topic '${name}'${meant}`)
    })
  program
    .helpCommand(false)
    .addHelpText('after', `\nTopics, by shoal help TOPIC: ${topics.map(({ name }) => name).join(', ')}`)
}

function listOfTopics(): string {
  const width = Math.max(...topics.map(({ name }) => name.length))
  return ['Topics:', ...topics.map(({ name, title }) => `  ${name.padEnd(width)}  ${title}`)].join('\n')
}
