import { resolve } from 'node:path'
import type { Command } from 'commander'
import { Failure } from '../failure.ts'
import { isPlatform, platformOf } from '../get/platform.ts'
import { hostFacts, whyNot } from '../mount/kernel/support.ts'
import type { MountFacts } from '../mount/mounter/api.ts'
import { NoMounter } from '../mount/mounter/client.ts'
import { parseReference } from '../oci/reference.ts'
import { addClientFlags } from './client-flags.ts'
import type { Context } from './context.ts'
import { CommandError } from './exit.ts'
import { hereText } from './mounted-text.ts'
import { addMounterFlags, mounterOf, startedMounter } from './mounter-flags.ts'
import { registryOf, withoutNode } from './registry-port.ts'

interface Options {
  readonly rw?: boolean
  readonly suid?: boolean
  readonly dev?: boolean
  readonly prefetch: boolean
  readonly platform: string
  readonly json?: boolean
}

/** `shoal mount` */
export function mount(program: Command, context: Context): void {
  const command = program
    .command('mount <image> <dir>')
    .description('mount an image as a root file system that is there at once, and loads what is read')
  addMounterFlags(addClientFlags(command))
    .option('--rw', 'read-write; what is written is gone when it is unmounted')
    .option('--suid', 'its setuid programs get their rights, for every user of this host who can reach them')
    .option('--dev', 'its device nodes open devices of this host, for every user who can reach them')
    .option('--no-prefetch', 'bring what is read and nothing else, instead of the rest in the background')
    .option('--platform <platform>', 'of the images in an index: linux/arm64', platformOf(process.arch))
    .option('--json', 'print what was mounted as JSON')
    .action(async (image: string, dir: string, options: Options) => {
      if (!isPlatform(options.platform) || options.platform === 'all') {
        command.error(`shoal: --platform "${options.platform}": one is mounted, such as linux/arm64`, { exitCode: 2 })
      }
      try {
        parseReference(image)
      } catch (error) {
        command.error(`shoal: ${Failure.from(error).message}`, { exitCode: 2 })
      }
      const problem = whyNot(hostFacts())
      if (problem) throw new CommandError(problem)
      const registry = await registryOf(command, context, { believe: true })
      const client = await startedMounter(command, context)
      const mounted = await client.mount({
        node: { registry },
        image: withoutNode(image, registry),
        dir: resolve(dir),
        rw: options.rw ?? false,
        suid: options.suid ?? false,
        dev: options.dev ?? false,
        prefetch: options.prefetch,
        platform: options.platform,
      })
      context.out(options.json ? JSON.stringify(mounted, null, 2) : summaryOf(mounted))
    })
}

/** `shoal umount` */
export function umount(program: Command, context: Context): void {
  const command = program.command('umount <dir...>').description('unmount what shoal mount has mounted')
  addMounterFlags(command).action(async (dirs: string[]) => {
    for (const dir of dirs) {
      const path = resolve(dir)
      await mounterOf(command)
        .unmount(path)
        .catch((error: unknown) => {
          if (!(error instanceof NoMounter)) throw error
          throw new CommandError(`no mounter runs; what another one has left at ${path} goes with: umount -l ${path}`)
        })
      context.out(`unmounted ${path}`)
    }
  })
}

/** `shoal mounts` */
export function mounts(program: Command, context: Context): void {
  const command = program
    .command('mounts')
    .description('list what shoal mount has mounted, how much of it is here, and what it is to run')
  addMounterFlags(command)
    .option('--json', 'as JSON, with environment and command of each image')
    .action(async (options: { json?: boolean }) => {
      const mounted = await mounterOf(command)
        .mounts()
        .catch((error: unknown) => {
          if (error instanceof NoMounter) return []
          throw error
        })
      if (options.json) return context.out(JSON.stringify({ mounts: mounted }, null, 2))
      context.out(mounted.length === 0 ? 'nothing is mounted' : mounted.map(lineOf).join('\n'))
    })
}

function summaryOf(mounted: MountFacts): string {
  const whole = mounted.layers.filter(({ indexed }) => !indexed)
  return [
    `${mounted.image} is at ${mounted.dir}${mounted.rw ? ', read-write' : ''}: ${hereOf(mounted)}`,
    ...whole.map(({ digest, reason }) => `  ${digest.slice(0, 19)} was fetched whole: ${reason ?? 'it has no index'}`),
  ].join('\n')
}

function lineOf(mounted: MountFacts): string {
  const errors = mounted.layers.flatMap((layer) => layer.errors.slice(0, 1))
  return [
    `${mounted.dir}  ${mounted.image}${mounted.rw ? ', read-write' : ''}: ${hereOf(mounted)}`,
    ...errors.map((error) => `  ${error}`),
  ].join('\n')
}

function hereOf({ layers }: MountFacts): string {
  const distinct = [...new Map(layers.map((layer) => [layer.id, layer])).values()]
  const sum = (of: (layer: MountFacts['layers'][number]) => number) =>
    distinct.reduce((total, layer) => total + of(layer), 0)
  return hereText({
    size: sum(({ size }) => size),
    here: sum(({ here }) => here),
    deduped: sum(({ deduped }) => deduped),
    complete: distinct.every(({ complete }) => complete),
  })
}
