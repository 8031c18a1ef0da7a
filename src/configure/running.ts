/** The engine as it runs on this host: which process it is, what it was started with, and how it is told to read again. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { z } from 'zod'
import { type Engine, sameMirror, usualFile } from './plan.ts'

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
 * The process that reads `file`, or, without one, any. The containerd that dockerd has below it is not the host's own,
 * and that of k3s only where there is no other; processes in containers are none of this host.
 */
export function findRunning(engine: Engine, file?: string): Running | undefined {
  const program = programs[engine]
  if (program === undefined) return undefined
  const here = processes().filter(({ args }) => args[0]?.split('/').at(-1) === program)
  const of = (process: Running) => fileOf(engine, process) ?? usualFile[engine]
  const own = here.filter((process) => !/\/docker\/containerd\//.test(of(process)))
  if (file !== undefined) return own.find((process) => of(process) === file)
  return own.find((process) => !of(process).includes('/rancher/')) ?? own[0]
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

/** Whether dockerd uses the mirrors that its file lists. */
export function uses(mirrors: readonly string[], config: string | undefined): boolean {
  const listed = partOf(config, z.object({ 'registry-mirrors': z.array(z.string()) }))?.['registry-mirrors'] ?? []
  return listed.length === mirrors.length && listed.every((url, i) => sameMirror(url, mirrors[i]!))
}

/** Where a dockerd listens, from its command line and its configuration. */
export function socketsOf(running: Running, config: string | undefined): string[] {
  const flag = flagValue(running.args, ['-H', '--host'])
  const inFile = partOf(config, z.object({ hosts: z.array(z.string()) }))?.hosts ?? []
  const hosts = [...(flag === undefined ? [] : [flag]), ...inFile]
  const named = hosts.flatMap((host) => /^unix:\/\/(.+)$/.exec(host)?.[1] ?? [])
  return [...named, '/var/run/docker.sock']
}

/** Of a daemon.json that may be anything. */
function partOf<T>(config: string | undefined, schema: z.ZodType<T>): T | undefined {
  try {
    return schema.safeParse(JSON.parse((config ?? '').replace(/^\uFEFF/, ''))).data
  } catch {
    return undefined
  }
}
