/** `shoal uninstall`: the host as it was before `shoal install`. */
import type { Command } from 'commander'
import { load, loadOne } from '../config/load.ts'
import { type Machine, machineAt } from '../install/machine.ts'
import { places, usualData } from '../install/places.ts'
import { uninstallPlan } from '../install/plan.ts'
import { variablesOf } from '../install/settings-file.ts'
import { describe } from '../install/step.ts'
import { type EngineHost, engineHostAt, undoAll } from './configure.ts'
import type { Context } from './context.ts'
import { CommandError } from './exit.ts'
import { accountOf, refuseBesideNode } from './install.ts'
import {
  containerdWithout,
  idleMounter,
  refuseWhileMounted,
  refuseWhileUsed,
  removalSteps,
} from './install-snapshotter.ts'

interface Options {
  readonly keepData?: boolean
  readonly dryRun?: boolean
}

export function uninstall(program: Command, context: Context, engines = engineHostAt()): void {
  program
    .command('uninstall')
    .description('stop the service, and remove it, its settings and its data from this host')
    .option('--keep-data', 'leave the settings, and what the node has stored')
    .option('--dry-run', 'do nothing, and say what would be done')
    .action(async (options: Options) => {
      const host = machineAt(engines.root)
      const dataDir = dataDirOf(host, context)
      refuse(host, dataDir, options, context)
      refuseWhileMounted(host)
      if (!options.keepData) refuseWhileUsed(host)
      // Its socket is for root alone.
      const mounter = context.host.root ? await idleMounter(host, options.keepData ?? false) : undefined
      const failed = context.host.root ? await undoEngines(context, options.dryRun ?? false, engines) : []
      // Its files are as they were, and it goes to the registry when nobody answers at the mirror: the rest can go.
      for (const said of failed) context.err(`shoal: ${said}`)
      uninstallFrom(host, dataDir, mounter, options, context)
      if (failed.length > 0)
        throw new CommandError('an engine goes on with the mirror that is gone, until it is restarted')
    })
}

/**
 * What was put there last is taken back first: so each finds its files as it wrote them.
 * @returns sentences about engines that did not take it
 */
export async function undoEngines(context: Context, dryRun: boolean, host: EngineHost): Promise<string[]> {
  const { latest } = containerdWithout(host.root)
  const failed = latest ? [] : await undoAll(context, dryRun, host)
  const containerd = containerdWithout(host.root)
  for (const line of containerd.lines) context.out(line)
  if (!dryRun) containerd.write()
  return latest ? await undoAll(context, dryRun, host) : failed
}

function refuse(machine: Machine, dataDir: string, options: Options, context: Context): void {
  if (!context.host.root && !options.dryRun) throw new CommandError('removing a service needs root')
  if (machine.exists(places.unit) && machine.systemd === 'running') return
  refuseBesideNode(machine, dataDir)
}

function uninstallFrom(
  machine: Machine,
  dataDir: string,
  mounter: number | undefined,
  options: Options,
  context: Context,
): void {
  const unit = machine.exists(places.unit)
  const { steps: rest, left } = uninstallPlan({
    systemd: machine.systemd,
    binary: machine.exists(places.binary),
    unit,
    dropIns: machine.names(places.dropInDir),
    user: accountOf(machine) !== undefined,
    settingsDir: machine.names(places.settingsDir),
    record: machine.read(places.record),
    undo: machine.names(places.undo),
    data: [...new Set([dataDir, usualData])].map((path) => ({ path, names: machine.names(path) })),
    keepData: options.keepData ?? false,
  })
  const steps = [...removalSteps(machine, options.keepData ?? false, mounter), ...rest]
  if (steps.length === 0) return context.out('shoal is not installed here')
  if (options.dryRun) context.out(['would', ...steps.map((step) => `  ${describe(step)}`)].join('\n'))
  else {
    for (const step of steps) {
      machine.carryOut(step)
      context.out(describe(step))
    }
    context.out('shoal is removed from this host')
  }
  if (left.length > 0) context.out(['left where it is:', ...left.map((path) => `  ${path}`)].join('\n'))
}

/** Settings that are no longer right must not keep anybody from removing the rest. */
function dataDirOf(machine: Machine, { host, err }: Context): string {
  const variables = variablesOf(machine.read(places.variables) ?? '')
  try {
    return load({}, variables, host).settings.node.dataDir
  } catch (error) {
    const usual = loadOne('data-dir', {}, {}, host)!
    err(`shoal: the settings cannot be used, so data is looked for in ${usual} only: ${String(error)}`)
    return usual
  }
}
