import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { type Command, InvalidArgumentError } from 'commander'
import prettyBytes from 'pretty-bytes'
import { every } from '../clock.ts'
import { Failure } from '../failure.ts'
import { Mirror, type Shares } from '../get/mirror.ts'
import { isPlatform, platformOf } from '../get/platform.ts'
import { duration, Progress, sharesText } from '../get/progress.ts'
import { type Saved, save } from '../get/save.ts'
import { takesStream } from '../get/sink.ts'
import { describe, type Job, jobsFor, outputNamed, type Place, parseTarget, stdout } from '../get/target.ts'
import { type Digest, isDigest } from '../oci/digest.ts'
import { formatReference, parseReference } from '../oci/reference.ts'
import { addClientFlags } from './client-flags.ts'
import type { Context } from './context.ts'
import { CommandError } from './exit.ts'
import { registryOf, withoutNode } from './registry-port.ts'

/** How often somebody at a terminal is told anew how much came from peers. */
const sharesMs = 500

interface Options {
  readonly output?: string
  readonly digest?: Digest
  readonly platform: string
  readonly quiet?: boolean
  readonly json?: boolean
}

/** `shoal get` */
export function get(program: Command, context: Context): void {
  const command = program
    .command('get <what...>')
    .description('download files by their URL, and images as OCI layouts or archives, through the cluster')
  addClientFlags(command)
    .option(
      '-o, --output <path>',
      'where it goes: a layout, an archive if it ends in .tar, a folder, or - for standard output',
    )
    .option('--digest <digest>', 'what it must be: sha256:<hex>', checkedDigest)
    .option(
      '--platform <platform>',
      'of the images in an index: linux/arm64, or all',
      checkedPlatform,
      platformOf(process.arch),
    )
    .option('-q, --quiet', 'show no progress at a terminal either')
    .option('--json', 'print what was downloaded as JSON')
    .action(async (texts: string[], options: Options) => {
      const jobs = planned(command, texts, options)
      const base = await registryOf(command, context)
      await carryOut(
        jobs.map((job) => withoutNodes(job, base)),
        base,
        options,
        context,
      )
    })
}

function withoutNodes(job: Job, base: string): Job {
  if (job.kind === 'file') return job
  return { ...job, references: job.references.map((each) => parseReference(withoutNode(formatReference(each), base))) }
}

/** What is wrong with the arguments is wrong usage. */
function planned(command: Command, texts: readonly string[], { output: given, digest, json }: Options): Job[] {
  try {
    const output = given === undefined ? undefined : outputNamed(given)
    const targets = texts.map((text) => parseTarget(text))
    if (json && output === stdout)
      throw new Failure('bad-request', '--json would get into what goes to standard output')
    if (digest && targets.length > 1) throw new Failure('bad-request', '--digest is for one download')
    return jobsFor(targets, output, placeOf)
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    return command.error(`shoal: ${error.message}`, { exitCode: 2 })
  }
}

async function carryOut(jobs: readonly Job[], base: string, options: Options, context: Context): Promise<void> {
  const shown = context.host.terminal && !options.quiet && !options.json
  const done: object[] = []
  const failures: unknown[] = []
  for (const job of jobs) {
    try {
      const { saved, shares, received, seconds } = await carryOutOne(job, base, options, context, shown)
      done.push({ ...saved, received, ...(shares ? { from: shares } : {}), seconds })
      if (shown) context.err(summaryOf(titleOf(job), saved, seconds, shares))
    } catch (error) {
      failures.push(error)
      if (jobs.length > 1) context.err(`shoal: ${titleOf(job)}: ${error instanceof Error ? error.message : error}`)
    }
  }
  if (options.json) context.out(JSON.stringify({ downloads: done }, null, 2))
  if (failures.length === 0) return
  if (jobs.length === 1) throw failures[0]
  throw new CommandError(`${failures.length} of ${jobs.length} downloads failed`)
}

async function carryOutOne(job: Job, base: string, options: Options, context: Context, shown: boolean) {
  const { clock } = context
  const progress = new Progress(titleOf(job), shown, clock)
  const mirror = new Mirror({ base, clock, id: crypto.randomUUID() })
  const stop = shown
    ? every(clock, sharesMs, () => void mirror.shares().then((shares) => progress.shares(shares)))
    : undefined
  const startedAt = clock.now()
  try {
    const saved = await save(job, {
      mirror,
      platform: options.platform,
      ...(options.digest ? { digest: options.digest } : {}),
      write: (bytes) => context.pour(bytes),
      told: progress,
    })
    const seconds = Math.round(clock.now() - startedAt) / 1000
    return { saved, seconds, received: progress.fresh, shares: await mirror.shares() }
  } finally {
    stop?.()
    progress.end()
  }
}

function summaryOf(title: string, { path, bytes }: Saved, seconds: number, shares: Shares | undefined): string {
  const to = path === '-' ? 'standard output' : path
  const from = shares && sharesText(shares)
  const size = prettyBytes(bytes, { binary: true })
  return `${title} is in ${to}: ${size} in ${duration(Math.ceil(seconds))}${from ? `, ${from}` : ''}`
}

/** As it was asked for, for people. */
function titleOf(job: Job): string {
  const targets =
    job.kind === 'file' ? [job] : job.references.map((reference) => ({ kind: 'image', reference }) as const)
  return targets.map(describe).join(', ')
}

function placeOf(path: string): Place {
  const found = statSync(path, { throwIfNoEntry: false })
  if (!found) return 'absent'
  if (takesStream(found)) return 'stream'
  if (!found.isDirectory()) return 'file'
  return existsSync(join(path, 'oci-layout')) ? 'layout' : 'folder'
}

function checkedDigest(text: string): Digest {
  if (isDigest(text)) return text
  throw new InvalidArgumentError('Expected sha256:<64 hex digits>.')
}

function checkedPlatform(text: string): string {
  if (isPlatform(text)) return text
  throw new InvalidArgumentError('Expected linux/amd64, linux/arm/v7 or the like, or all.')
}
