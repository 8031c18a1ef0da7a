/** `shoal install`: this binary becomes a service of this host, with the settings that the command line names. */
import { dirname } from 'node:path'
import type { Command } from 'commander'
import { buildInfo } from '../build-info.ts'
import { backendFolders } from '../config/backend-folder.ts'
import type { Flags, Variables } from '../config/given.ts'
import { load } from '../config/load.ts'
import type { Settings } from '../config/settings.ts'
import { names } from '../config/table.ts'
import { Disk } from '../configure/disk.ts'
import { placesOf } from '../engine/places.ts'
import { type Account, accountIn } from '../install/account.ts'
import { unit } from '../install/bundled.ts'
import { type Machine, machineAt } from '../install/machine.ts'
import { places, unitName, user } from '../install/places.ts'
import { installPlan } from '../install/plan.ts'
import { type Copy, variablesOf, withSettings } from '../install/settings-file.ts'
import { describe } from '../install/step.ts'
import { formatAddress } from '../listen.ts'
import { type HostFacts, hostFacts } from '../mount/kernel/support.ts'
import type { Context } from './context.ts'
import { CommandError } from './exit.ts'
import { addFlags, flagsOf } from './flags.ts'
import { addKubernetesFlags, type KubernetesOptions, printManifests } from './install-kubernetes.ts'
import { containerdFor, hasSnapshotter, refuseWithoutMounts, snapshotterSteps } from './install-snapshotter.ts'

interface Options extends KubernetesOptions {
  readonly start: boolean
  readonly dryRun?: boolean
  readonly snapshotter?: boolean
}

const written = names.filter((name) => name !== 'config')

/** `lazy`: what decides whether layers can be mounted here. */
export function install(program: Command, context: Context, machine?: Machine, lazy = hostFacts()): void {
  const command = program
    .command('install')
    .description('make this binary a systemd service of this host, or upgrade it; or print it for Kubernetes')
    .option('--no-start', 'install, and start nothing')
    .option('--snapshotter', 'also a snapshotter for containerd, by which containers start while their image arrives')
    .option('--dry-run', 'do nothing, and say what would be done')
    .addHelpText('after', `\nFlags of "shoal up" are written to ${places.settings}; what is not given stays as it is.`)
  addKubernetesFlags(command)
  addFlags(command, written).action((options: Options) => {
    const inPod = (text: string, copies: readonly Copy[], mode: string) =>
      settingsFrom(text, copies, {}, context, { mode: [mode] })
    if (options.kubernetes) return printManifests(command, flagsOf(command, written), options, context, inPod)
    installOn(machine ?? machineAt(), lazy, flagsOf(command, written), options, context)
  })
}

function installOn(machine: Machine, lazy: HostFacts, flags: Flags, options: Options, context: Context): void {
  if (!context.host.root && !options.dryRun) throw new CommandError('installing a service needs root')
  const before = machine.read(places.settings)
  const { text: after, copies } = withSettings(before, flags, process.cwd())
  const variables = variablesOf(machine.read(places.variables) ?? '')
  const settings = settingsFrom(after, copies, variables, context)
  if (machine.systemd === 'running' && options.start) refuseBesideNode(machine, settings.node.dataDir)
  const binarySame = machine.sameFile(machine.program, places.binary)
  // First: what cannot be configured is not installed.
  if (options.snapshotter) refuseWithoutMounts(machine, lazy)
  const containerd = options.snapshotter ? containerdFor() : undefined
  const node = installPlan({
    systemd: machine.systemd,
    binarySame,
    user: accountOf(machine),
    settingsDir: machine.folder(places.settingsDir),
    settings: { before, after },
    copies: copies.filter(({ from, path }) => from === path || !machine.sameFile(from, path)),
    record: machine.read(places.record),
    dataDir: settings.node.dataDir,
    backends: backendFolders(settings.home),
    dropIn: machine.read(places.dropIn),
    engineBlobs: engineBlobsOf(settings),
    engineDropIn: machine.read(places.engineDropIn),
    unit: { before: machine.read(places.unit), after: unit },
    running: machine.unit(unitName),
    start: options.start,
  })
  const wanted = options.snapshotter || hasSnapshotter(machine)
  const steps = [...node, ...(wanted ? snapshotterSteps(machine, binarySame, options.start) : [])]
  if (options.dryRun) {
    const lines = ['would', ...steps.map((step) => `  ${describe(step)}`), ...(containerd?.lines ?? [])]
    return context.out(lines.join('\n'))
  }
  for (const step of steps) {
    machine.carryOut(step)
    context.out(describe(step))
  }
  containerd?.write()
  const said = [...(containerd?.lines ?? []), ...outcome(machine, options, settings)]
  context.out(said.join('\n'))
}

/** What a node would make of it, so that nothing is installed that cannot start. @throws {ConfigError} */
function settingsFrom(
  text: string,
  copies: readonly Copy[],
  variables: Variables,
  { host }: Context,
  flags: Flags = {},
): Settings {
  const source = (path: string) => copies.find((copy) => copy.path === path)?.from ?? path
  const installed = {
    ...host,
    exists: (path: string) => path === places.settings || host.exists(source(path)),
    absent: (path: string) => path !== places.settings && host.absent(source(path)),
    read: (path: string) => (path === places.settings ? text : host.read(source(path))),
  }
  // The variables are those of the service, and not of this shell.
  return load({ ...flags, config: [places.settings] }, variables, installed).settings
}

/** Those of a containerd that the operator named: what is found out by itself is not opened to the service unasked. */
function engineBlobsOf({ engine: { content } }: Settings): string | undefined {
  if (typeof content === 'string') return undefined
  const [place] = placesOf(content, new Disk('/'))
  return place && dirname(place.path)
}

/** @throws {CommandError} while somebody's `shoal up` has the data and the ports */
export function refuseBesideNode(machine: Machine, dataDir: string): void {
  const pid = machine.nodeOn(dataDir)
  if (pid === undefined || pid === machine.unit(unitName).pid) return
  throw new CommandError(`a node runs here (process ${pid}), and is no service: end it first`)
}

export function accountOf(machine: Machine): Account | undefined {
  return accountIn(machine.read(places.users) ?? '', user)
}

function outcome({ systemd }: Machine, { start, snapshotter }: Options, settings: Settings): string[] {
  const said = `shoal ${buildInfo.version} is installed`
  if (systemd === 'absent') {
    return [
      `${said}. There is no systemd here: have whatever supervises programs on this host run`,
      `  ${places.binary} up`,
      'as root, and start it again when it ends with 1.',
      ...(snapshotter ? ['For containerd, two more as root: shoal mounter --idle 0, and shoal snapshotter.'] : []),
    ]
  }
  if (systemd === 'present') return [`${said}, and starts when this system is booted.`]
  if (!start) return [`${said}. It starts at the next boot, or by: systemctl start ${unitName}`]
  const { host, port } = settings.registry.address
  return [
    `${said}, and runs: the mirror is ${formatAddress({ host, port })}`,
    '  shoal status               how it does',
    `  journalctl -u ${unitName}  what it says`,
  ]
}
