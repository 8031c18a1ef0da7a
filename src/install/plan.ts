/** What is to be done to a host so that shoal is on it, or off it again. Pure: facts in, steps out. */
import { basename, join } from 'node:path'
import type { Account } from './account.ts'
import { foldersDropIn } from './drop-in.ts'
import { engineBlobs, ownData, places, unitName, user, usualData } from './places.ts'
import type { Running } from './running.ts'
import type { Copy } from './settings-file.ts'
import type { Step } from './step.ts'
import { type Folder, wayIn } from './way-in.ts'

/** `present`: installed, and not what runs this host, as while an image of one is made. */
export type Systemd = 'running' | 'present' | 'absent'

export interface Change {
  readonly before: string | undefined
  readonly after: string | undefined
}

export interface Wanted {
  readonly systemd: Systemd
  /** The binary in its place is this one. */
  readonly binarySame: boolean
  /** Whom the unit runs as; undefined: there is no such user yet. The same for the folder. */
  readonly user: Account | undefined
  readonly settingsDir: Folder | undefined
  readonly settings: Change
  /** Files that settings name, without those that are there already as they should be. */
  readonly copies: readonly Copy[]
  readonly record: string | undefined
  readonly dataDir: string
  /** Folders that are backends of homes. */
  readonly backends: readonly string[]
  readonly dropIn: string | undefined
  /** The folder of blobs of the engine that the operator named; absent: none. */
  readonly engineBlobs?: string | undefined
  readonly engineDropIn: string | undefined
  readonly unit: Change
  readonly running: Running
  readonly start: boolean
}

/** Nothing that is as it should be is touched, so that running it again does no harm. */
export function installPlan(wanted: Wanted): Step[] {
  const { systemd, settings, copies, running } = wanted
  const withUnit = systemd !== 'absent'
  const systemctl = (...words: string[]): Step => ({ do: 'run', command: ['systemctl', ...words] })
  const newUsers = withUnit && !wanted.user ? [newUser] : []
  const units = withUnit
    ? [
        ...write(places.unit, wanted.unit),
        ...write(places.dropIn, { before: wanted.dropIn, after: foldersDropIn(wanted) }),
        ...write(places.engineDropIn, { before: wanted.engineDropIn, after: engineDropInFor(wanted) }),
      ]
    : []
  const steps: Step[] = [
    ...(wanted.binarySame ? [] : [{ do: 'binary', path: places.binary } as const]),
    ...(wanted.settingsDir ? [] : [{ do: 'directory', path: places.settingsDir } as const]),
    // Not before the user is made: where that fails, whoever makes one by hand then is not to lose it.
    ...newUsers,
    // Before the rest that it tells of: what one that broke off has brought is known to be shoal's.
    ...write(places.record, { before: wanted.record, after: recordOf(wanted, newUsers.length > 0) }),
    ...(withUnit ? opened(wanted) : []),
    ...copies.map((copy): Step => ({ do: 'copy', ...copy, ...(withUnit ? { group: user } : {}) })),
    ...write(places.settings, settings),
    ...(withUnit && elsewhere(wanted) ? [{ do: 'directory', path: wanted.dataDir, owner: user } as const] : []),
    ...units,
  ]
  if (systemd === 'absent') return steps
  if (systemd === 'present') return [...steps, systemctl('enable', unitName)]
  // What an installation before this one, or whoever put the binary into its place, has left to be done.
  const current = running.active && !running.outdated && !running.unread
  const asItShouldBe = current && steps.every((step) => step.do === 'directory')
  return [
    ...steps,
    ...(units.length > 0 || running.unread ? [systemctl('daemon-reload')] : []),
    systemctl('enable', unitName),
    ...(wanted.start && !asItShouldBe ? [systemctl('restart', unitName)] : []),
  ]
}

const newUser: Step = {
  do: 'run',
  command: [
    ...['useradd', '--system', '--user-group', '--home-dir', usualData, '--no-create-home'],
    ...['--shell', '/usr/sbin/nologin', user],
  ],
}

/** A settings folder that is there may be shut to the service, which would then be without its settings. */
function opened({ settingsDir, user: account }: Wanted): Step[] {
  const way = settingsDir && wayIn(settingsDir, account)
  return way ? [{ do: 'let-in', path: places.settingsDir, mode: way.mode, ...(way.group ? { group: user } : {}) }] : []
}

function write(path: string, { before, after }: Change): Step[] {
  if (before === after) return []
  return after === undefined ? [{ do: 'remove', path }] : [{ do: 'write', path, text: after }]
}

const elsewhere = ({ dataDir }: Wanted) => dataDir !== usualData

/**
 * Blobs are open to all, and only the folders above them are not: seen from elsewhere they can be read, by a service
 * without any capability, and nothing else of the engine can.
 */
function engineDropInFor({ engineBlobs: from }: Wanted): string | undefined {
  return from && `[Service]\nBindReadOnlyPaths=-${from.replaceAll('%', '%%')}:${engineBlobs}\n`
}

/** Among the names of files, of which none has a slash: the user was made, and not there before. */
const userNote = `user/${user}`

/** What was brought stays on record; a file that the operator had put in its place before is not shoal's to remove. */
function recordOf({ record, settings, copies }: Wanted, made: boolean): string | undefined {
  const before = namesIn(record)
  const brought = copies.filter(({ from, path }) => from !== path).map(({ path }) => basename(path))
  const own = [...(settings.before === undefined ? [basename(places.settings)] : []), ...(made ? [userNote] : [])]
  const names = new Set([...before, ...own, ...brought])
  return names.size === 0 ? undefined : [...names].sort().join('\n').concat('\n')
}

const namesIn = (record: string | undefined) => (record ?? '').split('\n').filter((name) => name !== '')

export interface Found {
  readonly systemd: Systemd
  readonly binary: boolean
  readonly unit: boolean
  readonly dropIns: readonly string[] | undefined
  readonly user: boolean
  /** Names in the directory of settings; undefined: it is not there. The same for the others. */
  readonly settingsDir: readonly string[] | undefined
  readonly record: string | undefined
  /** What engines had before they were configured, as far as that was not put back. */
  readonly undo: readonly string[] | undefined
  /** Where the node has its data; systemd makes the usual place also when that is elsewhere. */
  readonly data: readonly { readonly path: string; readonly names: readonly string[] | undefined }[]
  readonly keepData: boolean
}

const ownDropIns = new Set<string>([places.dropIn, places.engineDropIn])

export interface UninstallPlan {
  readonly steps: Step[]
  /** What stays, most of it paths: kept on demand, or not shoal's own, such as a key that was there before. */
  readonly left: string[]
}

export function uninstallPlan(found: Found): UninstallPlan {
  const { systemd, keepData } = found
  const run = (command: string[], mayFail?: true): Step => ({ do: 'run', command, ...(mayFail ? { mayFail } : {}) })
  const undo = emptied(places.undo, found.undo, () => false)
  const settingsDir = found.settingsDir?.filter((name) => name !== basename(places.undo) || undo.left.length > 0)
  const recorded = new Set([...namesIn(found.record), basename(places.settings)])
  const parts = [
    emptied(places.dropInDir, found.dropIns, (name) => ownDropIns.has(join(places.dropInDir, name))),
    ...found.data.map(({ path, names }) => emptied(path, names, (name) => !keepData && ownData.test(name))),
  ]
  // The record last: one that broke off goes on by it.
  const isRecord = (name: string) => name === basename(places.record)
  const inOrder = settingsDir && [...settingsDir.filter((name) => !isRecord(name)), ...settingsDir.filter(isRecord)]
  const settings = emptied(places.settingsDir, inOrder, (name) => !keepData && (isRecord(name) || recorded.has(name)))
  const staying = [
    ...found.data.filter(({ names }) => names?.some((name) => !ownData.test(name))).map(({ path }) => path),
    ...(settings.left.length > 0 ? [places.settingsDir, ...settings.left] : []),
  ]
  // Records of earlier versions do not say who made the user: somebody else's files may be in its name.
  const ownUser = namesIn(found.record).includes(userNote)
  const strangeUser = found.user && !keepData && !ownUser && (found.unit || found.record !== undefined)
  const runs = found.unit && systemd === 'running'
  const steps: Step[] = [
    ...(runs ? [run(['systemctl', 'disable', '--now', unitName])] : []),
    ...(found.unit && systemd === 'present' ? [run(['systemctl', 'disable', unitName])] : []),
    ...(found.unit ? [{ do: 'remove', path: places.unit } as const] : []),
    ...undo.steps,
    ...parts.flatMap((part) => part.steps),
    ...(runs ? [run(['systemctl', 'daemon-reload']), run(['systemctl', 'reset-failed', unitName], true)] : []),
    // What it has stored would be nobody's without it.
    ...(found.user && !keepData && ownUser ? [...staying.map(disowned), run(['userdel', user])] : []),
    ...settings.steps,
    ...(found.binary ? [{ do: 'remove', path: places.binary } as const] : []),
  ]
  const kept = `the user ${user}: no record says that shoal install made it (userdel ${user} removes it)`
  return { steps, left: [...[...parts, settings].flatMap((part) => part.left), ...(strangeUser ? [kept] : [])] }
}

const disowned = (path: string): Step => ({ do: 'disown', path, user })

/** A directory is removed when nothing of others is in it. */
function emptied(path: string, names: readonly string[] | undefined, goes: (name: string) => boolean): UninstallPlan {
  if (names === undefined) return { steps: [], left: [] }
  const left = names.filter((name) => !goes(name)).map((name) => join(path, name))
  const steps: Step[] = names.filter(goes).map((name) => ({ do: 'remove', path: join(path, name) }))
  if (left.length === 0) steps.push({ do: 'remove-directory', path })
  return { steps, left }
}
