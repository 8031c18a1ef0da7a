/** Points an engine at the node of this host: shows what changes, asks, writes, and has the engine read it. */
import { join, resolve } from 'node:path'
import { Argument, type Command, InvalidArgumentError, Option } from 'commander'
import { z } from 'zod'
import { memberSchema, nodeSchema } from '../admin/view.ts'
import type { Flags } from '../config/given.ts'
import { load, loadOne } from '../config/load.ts'
import { applied, type Outcome } from '../configure/apply.ts'
import { Backup } from '../configure/backup.ts'
import { diffOf } from '../configure/diff.ts'
import { Disk } from '../configure/disk.ts'
import { type Edit, type Engine, engines, type Mirrors, type Plan } from '../configure/plan.ts'
import { configuredEngines, settingOf } from '../configure/setting.ts'
import { cleaned, planOf, planUndo } from '../configure/setup.ts'
import { candidates, firstAnswering } from '../configure/standby.ts'
import { type Address, formatAddress, isLoopback, parseAddress } from '../listen.ts'
import { addClientFlags, clientOf } from './client-flags.ts'
import type { Context } from './context.ts'
import { CommandError } from './exit.ts'
import { addFlags, flagsOf } from './flags.ts'

/** Where files are, and how the engines that read them are told. */
export interface EngineHost {
  /** What stands for `/`. */
  readonly root: string
  /** Absent where no engine runs. */
  readonly apply?: typeof applied
}

/** Engines are of the real host only. */
export function engineHostAt(root = '/'): EngineHost {
  return root === '/' ? { root, apply: applied } : { root }
}

interface Options {
  file?: string
  root: string
  backupDir: string
  registry?: string[]
  /** False: `--no-standby`. */
  standby?: string | false
  undo?: boolean
  force?: boolean
  dryRun?: boolean
  yes?: boolean
  json?: boolean
}

/** What happened to one engine. */
interface Report {
  readonly engine: Engine
  readonly done: boolean
  readonly mirrors: Mirrors
  readonly edits: readonly Edit[]
  readonly notes: readonly string[]
  readonly outcome?: Outcome
}

const mirrorFlag = ['registry-addr'] as const
const backupDir = '/etc/shoal/undo'
const nothingWanted = () => Promise.resolve<Found>({ mirrors: [], notes: [] })

/** `shoal configure` */
export function configure(program: Command, context: Context): void {
  const command = program
    .command('configure')
    .description('point the container engine of this host at the node, and back again')
    .addArgument(new Argument('[engine]', 'which engine; with --undo: all that are configured').choices(engines))
  addFlags(addClientFlags(command), mirrorFlag)
    .option('--standby <host:port>', "registry port of another node, asked when this host's does not answer", address)
    .option('--no-standby', 'only the node of this host (default: a node of the cluster whose registry port is open)')
    .addOption(
      new Option(
        '--registry <name>',
        'mirror this registry; repeatable (default: all that the engine lets it)',
      ).argParser((name: string, before: string[] | undefined) => [...(before ?? []), name]),
    )
    .option('--undo', 'put back what was there, byte for byte')
    .option('--force', 'with --undo: also files that were changed since')
    .option('--dry-run', 'show what would change, and change nothing')
    .option('--yes', 'do not ask')
    .option('--file <file>', "the engine's configuration, where it is not the usual one")
    .option('--root <dir>', 'configure the file system below it, and reload nothing', '/')
    .option('--backup-dir <dir>', 'where originals are kept for --undo', backupDir)
    .option('--json', 'as JSON')
    .action(async (engine: Engine | undefined, options: Options) => {
      if (options.root === '/') {
        options.backupDir = resolve(options.backupDir)
        if (options.file !== undefined) options.file = resolve(options.file)
      } else if (options.file !== undefined) options.file = join('/', options.file)
      const chosen = engine ? [engine] : options.undo ? configuredEngines(options.root, options.backupDir) : []
      if (chosen.length === 0 && !options.undo) command.error(`shoal: name the engine: ${engines.join(', ')}`)
      const reports: Report[] = []
      const find = () => mirrorsFor(command, context, options)
      const wanted = { ...options, ...engineHostAt(options.root) }
      for (const each of chosen) reports.push(await one(context, each, wanted, find))
      if (options.json) context.out(JSON.stringify(engine ? shown(reports[0]!) : reports.map(shown), null, 2))
      else if (reports.length === 0) context.out('no engine is configured')
      const failed = reports.find(({ outcome }) => outcome?.state === 'failed')
      if (failed) throw new CommandError(failed.outcome!.said)
    })
}

/**
 * For whoever removes the node: all engines as they were before they were pointed at it.
 * @returns sentences about those that did not take it
 */
export async function undoAll(context: Context, dryRun: boolean, host: EngineHost): Promise<string[]> {
  const options = { ...host, backupDir, undo: true, yes: true, dryRun }
  const outcomes: (Outcome | undefined)[] = []
  for (const engine of configuredEngines(host.root, backupDir)) {
    outcomes.push((await one(context, engine, options, nothingWanted)).outcome)
  }
  return outcomes.flatMap((outcome) => (outcome?.state === 'failed' ? [outcome.said] : []))
}

async function one(
  context: Context,
  engine: Engine,
  options: Options & EngineHost,
  find: () => Promise<Found>,
): Promise<Report> {
  const { apply } = options
  const disk = new Disk(options.root)
  const setting = settingOf(engine, options.file, options.root === '/')
  const backup = new Backup(disk, options.backupDir, engine)
  const kept = backup.kept()
  const former = backup.mirrors
  const found = await (options.undo ? nothingWanted() : find())
  const plan = options.undo
    ? planUndo(setting, disk, kept, former, options.force ?? false)
    : planOf(setting, disk, { mirrors: found.mirrors, former, registries: options.registry ?? [] })
  const report = { engine, mirrors: found.mirrors, edits: plan.edits, notes: [...plan.notes, ...found.notes] }
  const say = (text: string) => void (options.json || context.out(text))
  for (const edit of plan.edits) say(diffOf(edit))
  for (const note of report.notes) say(`Note: ${note}`)

  if (plan.edits.length === 0) {
    say(options.undo ? `${engine}: there is nothing to undo` : `${engine} is configured already: nothing to change`)
    if (options.dryRun) return { ...report, done: true }
    // It may not have been told when that was written.
    const outcome = engine === 'docker' && apply ? told(await apply(setting, 'reload', disk), say) : undefined
    if (options.undo) backup.remove()
    return { ...report, done: true, ...(outcome ? { outcome } : {}) }
  }
  if (options.dryRun) {
    say('nothing was changed (--dry-run)')
    return { ...report, done: false }
  }
  if (!(await agreed(context, options))) {
    throw new CommandError('nothing was changed')
  }
  write(disk, backup, engine, plan, found.mirrors, options.undo ?? false)
  for (const { path, before } of plan.edits) {
    const place = options.undo || before === undefined ? undefined : backup.placeOf(path)
    say(`written: ${path}${place ? ` (as it was: ${place})` : ''}`)
  }
  const outcome = apply && told(await apply(setting, plan.effect, disk), say)
  // Not before: telling dockerd changes its file for a while, and the way back has to be known when that is interrupted.
  if (options.undo) backup.remove()
  else say(`to put back what was there: shoal configure ${engine} --undo`)
  return { ...report, done: true, ...(outcome ? { outcome } : {}) }
}

/** A failure is told as an error, when all is done. */
function told(outcome: Outcome, say: (text: string) => void): Outcome {
  if (outcome.state !== 'failed') say(outcome.said)
  return outcome
}

function write(disk: Disk, backup: Backup, engine: Engine, plan: Plan, mirrors: Mirrors, undo: boolean): void {
  const kept = new Map(backup.kept().map((each) => [each.path, each]))
  if (undo) {
    disk.write(plan.edits, (path) => kept.get(path)?.manner)
    return
  }
  const { edits } = plan
  backup.note(edits, mirrors, ({ path, before }) => {
    const known = kept.get(path)
    if (!known) return before
    if (known.ours(before) || before === known.original || before === undefined) return known.original
    // Somebody changed it since: that belongs to what --undo goes back to.
    return cleaned(engine, path, before, backup.mirrors, known.original)
  })
  try {
    disk.write(edits)
  } catch (error) {
    if (kept.size === 0) backup.remove()
    throw error
  }
}

/** @throws {CommandError} when there is nobody to ask */
async function agreed(context: Context, options: Options): Promise<boolean> {
  if (options.yes) return true
  const answer = options.json ? undefined : await context.ask('Write this? [y/N] ')
  if (answer !== undefined) return /^y(es)?$/i.test(answer.trim())
  throw new CommandError('nothing was changed: there is nobody to ask, so say --yes to write, or --dry-run to look')
}

interface Found {
  readonly mirrors: Mirrors
  readonly notes: readonly string[]
}

/** The node of this host as it says itself, or where it would be; then the stand-by. */
async function mirrorsFor(command: Command, context: Context, options: Options): Promise<Found> {
  const given = flagsOf(command, mirrorFlag)
  const usual = addressOf(given, context, options)
  const cluster = options.root === '/' ? await clusterOf(command, context) : undefined
  const told = given['registry-addr'] === undefined ? cluster?.registry : undefined
  const here = parseAddress(told ?? '') ?? usual
  const local = `http://${formatAddress({ host: isAny(here.host) ? '127.0.0.1' : here.host, port: here.port })}`
  const notes =
    cluster || options.root !== '/'
      ? []
      : [`no node answers on this host yet: until one does at ${local}, the engine goes to the registry as before`]
  if (options.standby === false) return { mirrors: [local], notes }
  if (options.standby !== undefined) return { mirrors: [local, `http://${options.standby}`], notes }
  const tried = cluster ? candidates(cluster.id, cluster.members, here.port) : []
  const standby = await firstAnswering(tried)
  if (standby !== undefined) return { mirrors: [local, `http://${standby}`], notes }
  if (tried.length === 0) return { mirrors: [local], notes }
  const some = tried.length > 4 ? `${tried.slice(0, 3).join(', ')} and ${tried.length - 3} more` : tried.join(', ')
  const why = `no stand-by: of the other nodes none answers at its registry port from here (${some}), which is for its own host unless it runs with --registry-addr 0.0.0.0:${here.port}`
  return { mirrors: [local], notes: [...notes, why] }
}

/** Where the settings have the registry port, or the default; settings that are wrong are not this command's business. */
function addressOf(given: Flags, { variables, host }: Context, { root }: Options): Address {
  try {
    if (root === '/') return load(given, variables, host).settings.registry.address
  } catch {
    // As without them.
  }
  return loadOne('registry-addr', given, variables, host)!
}

async function clusterOf(command: Command, context: Context) {
  const client = clientOf(command, context)
  try {
    const node = await client.get('/api/v1/node', nodeSchema)
    const { members } = await client.get('/api/v1/members', z.object({ members: z.array(memberSchema) }))
    return { id: node.id, registry: node.addresses.registry, members }
  } catch (error) {
    if (error instanceof CommandError) return undefined
    throw error
  }
}

const isAny = (host: string) => host === '0.0.0.0' || host === '::'

function address(text: string): string {
  const parsed = parseAddress(text)
  if (!parsed || parsed.port === 0) throw new InvalidArgumentError('Expected an address such as 10.0.0.1:4880.')
  if (isLoopback(parsed.host)) throw new InvalidArgumentError('That is this host, which is asked first anyway.')
  return text
}

function shown({ engine, done, mirrors, edits, notes, outcome }: Report) {
  return {
    engine,
    done,
    mirrors,
    edits: edits.map((edit) => ({
      path: edit.path,
      action: edit.before === undefined ? 'create' : edit.after === undefined ? 'remove' : 'change',
      diff: diffOf(edit),
    })),
    notes,
    ...(outcome ? { outcome } : {}),
  }
}
