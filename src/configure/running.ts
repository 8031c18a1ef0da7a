/** The engine as it runs on this host: which process it is, what it was started with, and how it is told to read again. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { z } from 'zod'
import { type Engine, sameMirror } from './plan.ts'

export interface Running {
  readonly pid: number
  readonly args: readonly string[]
}

const programs: Record<Engine, string | undefined> = {
  docker: 'dockerd',
  containerd: 'containerd',
  'cri-o': 'crio',
  podman: undefined,
}

/** The flag that names its configuration file. */
const fileFlags: Partial<Record<Engine, readonly string[]>> = {
  docker: ['--config-file'],
  containerd: ['--config', '-c'],
}

/** What follows a flag on a command line, as `--flag value` or `--flag=value`. */
export function flagValue(args: readonly string[], flags: readonly string[]): string | undefined {
  for (const [i, arg] of args.entries()) {
    if (flags.includes(arg)) return args[i + 1]
    const flag = flags.find((name) => arg.startsWith(`${name}=`))
    if (flag) return arg.slice(flag.length + 1)
  }
  return undefined
}

/** The configuration file that a running engine was told to read, unless it reads the usual one. */
export function fileOf(engine: Engine, running: Running | undefined): string | undefined {
  return running && flagValue(running.args, fileFlags[engine] ?? [])
}

/**
 * The process that reads `file`, or, without one, the first that is not another engine's own: dockerd has a containerd
 * below it. Processes in containers are none of this host.
 */
export function findRunning(engine: Engine, file?: string): Running | undefined {
  const program = programs[engine]
  if (program === undefined) return undefined
  const here = processes().filter(({ args }) => args[0]?.split('/').at(-1) === program)
  const own = here.filter((process) => !/\/run\/docker\/|\/k3s\/|\/docker\/containerd\//.test(process.args.join(' ')))
  return file === undefined ? own[0] : own.find((process) => (fileOf(engine, process) ?? file) === file)
}

function processes(): Running[] {
  const space = namespaceOf('self')
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        const args = readFileSync(`/proc/${name}/cmdline`, 'utf8').split('\0').slice(0, -1)
        return namespaceOf(name) === space ? [{ pid: Number(name), args }] : []
      } catch {
        // It ended meanwhile, or is somebody else's.
        return []
      }
    })
}

function namespaceOf(process: string): string {
  return readlinkSync(`/proc/${process}/ns/pid`)
}

const infoSchema = z.object({ RegistryConfig: z.object({ Mirrors: z.array(z.string()).nullable() }) })

/** The mirrors that dockerd says it uses; undefined if it does not answer at any of its sockets. */
export async function mirrorsOfDockerd(sockets: readonly string[]): Promise<string[] | undefined> {
  for (const unix of sockets) {
    try {
      const answer = await fetch('http://docker/info', { unix, signal: AbortSignal.timeout(3000) })
      const info = infoSchema.safeParse(await answer.json())
      if (info.success) return info.data.RegistryConfig.Mirrors ?? []
    } catch {
      // Not there, or not for this user: the next one.
    }
  }
  return undefined
}

/** Whether both lists begin alike. */
export function startsWith(list: readonly string[], first: readonly string[]): boolean {
  return first.every((url, i) => list[i] !== undefined && sameMirror(url, list[i]))
}

/** Where a dockerd listens, from its command line and its configuration. */
export function socketsOf(running: Running, config: string | undefined): string[] {
  const flag = flagValue(running.args, ['-H', '--host'])
  const hosts = [...(flag === undefined ? [] : [flag]), ...hostsIn(config)]
  const named = hosts.flatMap((host) => /^unix:\/\/(.+)$/.exec(host)?.[1] ?? [])
  return [...named, '/var/run/docker.sock']
}

function hostsIn(config: string | undefined): string[] {
  try {
    return z.object({ hosts: z.array(z.string()) }).parse(JSON.parse((config ?? '').replace(/^\uFEFF/, ''))).hosts
  } catch {
    return []
  }
}
