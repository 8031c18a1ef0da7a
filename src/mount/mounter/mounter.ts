/**
 * The mounter: one process of a host that serves lazy root file systems, put together. It keeps the FUSE descriptor and
 * knows all mounts. Two ways lead into it: a first start, which looks at what one before has left, and a start by the mounter
 * before it in the same process, from which it has the descriptor and goes on.
 */
import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { buildInfo } from '../../build-info.ts'
import { type Clock, every, pause } from '../../clock.ts'
import { Failure } from '../../failure.ts'
import { libc, openFile, openFlags } from '../../fuse/libc.ts'
import { FuseServer } from '../../fuse/server.ts'
import type { Log } from '../../telemetry/log.ts'
import type { Carry } from '../kernel/child.ts'
import { Kernel } from '../kernel/kernel.ts'
import { fuseMount } from '../kernel/overlay.ts'
import { isThere } from '../kernel/read-ahead.ts'
import { mountTable } from '../kernel/table.ts'
import type { OpenLayer } from '../unpacked-layer.ts'
import type { MounterFacts } from './api.ts'
import { mounterApp } from './app.ts'
import { endEach } from './ending.ts'
import { type Kept, turnInto } from './exec.ts'
import { Layers } from './layers.ts'
import { listenAt } from './listening.ts'
import { lockFile } from './lock.ts'
import { Mounts } from './mounts.ts'
import type { Places } from './places.ts'
import { nothingLeft, type Present, reportsOf } from './report.ts'
import { saving } from './saving.ts'
import { clearAway, goOn, takeOver } from './stale.ts'
import { emptyState, readState, type State } from './state.ts'
import { putMounts, Telling } from './telling.ts'

export interface MounterInit {
  readonly places: Places
  readonly clock: Clock
  readonly log: Log
  readonly open: OpenLayer
  readonly carry: Carry
  /** From the mounter before this one in the same process. */
  readonly kept: Kept | undefined
  readonly readDeadlineMs: number
  /** Without mounts and layers for so long, it ends; 0 for never. */
  readonly idleMs: number
  /** The disk is full: something of the layers goes that nobody mounts. False when there is no such thing. */
  readonly makeRoom: () => Promise<boolean>
  /** Writes down what is to be known of layers, after the last of them was let go. */
  readonly settled: () => Promise<void>
  /** What it becomes in an upgrade; @throws {Failure} when that is no working program */
  readonly successor: () => Promise<readonly string[]>
}

export interface Mounter {
  readonly facts: () => MounterFacts
  /** Resolves when it has ended by itself: idle, or its FUSE file system was taken away. */
  readonly ended: Promise<string>
  /** Becomes its successor; rejects when there is none, and goes on then. */
  upgrade(): Promise<void>
  /** Ends; unmounts everything when nothing is in use, and leaves the rest to the next one. */
  close(): Promise<void>
}

/** More than there are processors in small hosts: each waits for the disk at times. */
const threads = 4
/** An upgrade waits so long for mounts and unmounts that are under way: as long as one call of the kernel may take. */
const longestWaitMs = 60_000
/** In an upgrade each thing that ends has so long, for all reads of the host wait meanwhile. */
const longestEndMs = 5000
const startAgainMs = 1000

/** Undefined when another mounter has these places. */
export async function startMounter(init: MounterInit): Promise<Mounter | undefined> {
  const { places, clock, log, carry } = init
  // What is made here is for root alone, whatever the shell that started it says.
  process.umask(0o077)
  for (const dir of [dirname(places.lock), dirname(places.state)]) mkdirSync(dir, { recursive: true, mode: 0o700 })
  const lock = init.kept?.lock ?? lockFile(places.lock)
  if (lock === undefined) return undefined
  const kernel = new Kernel(carry)
  const known = stateBefore(places, log)
  // Where it is not known what is mounted, no file can be served on, and its number would be given to another one, of which
  // the kernel would then show it bytes: it is as after a kill.
  if (init.kept && !known) libc().close(init.kept.fuse)
  const kept = known && init.kept
  const before = known ?? emptyState
  const state = kept ? goOn(places, before, log) : await takeOver(places, before, kernel, log)
  const fuse = kept?.fuse ?? openFile('/dev/fuse', openFlags.readWrite | openFlags.nonBlocking)

  const server = new FuseServer({
    fuse,
    clock,
    threads,
    readDeadlineMs: init.readDeadlineMs,
    failed: (layer, error) => log.warn('a read failed', { layer, error: error.message }),
    died: (error) =>
      log.error('a thread that answers reads has died; another takes its place', { error: error.message }),
  })
  let nextInode = state.nextInode
  const { save, note } = saving({
    file: places.state,
    state: () => ({ version: 1, nextInode, layers: layers.state(), mounts: mounts.state() }),
    makeRoom: init.makeRoom,
    log,
  })
  const layers = new Layers({
    places,
    open: init.open,
    kernel,
    server,
    isThere,
    log,
    nextInode: () => nextInode++,
    save,
    note,
  })
  const mounts = new Mounts({ places, layers, kernel, table: mountTable, clock, log, save, note })
  layers.adopt(state.layers)
  mounts.adopt(state.mounts)
  server.start()
  if (kept) {
    server.resend()
    await clearAway(places, before, state, kernel, log)
  } else await kernel.make(fuseMount(places.files), fuse)
  // On a full disk too: what is mounted already is to be read.
  note()
  if (mounts.count > 0) log.info('goes on for the mounter before', { mounts: mounts.count, layers: layers.count })

  const since = new Date(clock.wall()).toISOString()
  const facts = (): MounterFacts => ({
    version: buildInfo.version,
    pid: process.pid,
    since,
    mounts: mounts.count,
    layers: layers.count,
    reads: server.counts,
  })
  const present = (): Present => ({
    socket: places.socket,
    mounter: facts(),
    mounts: mounts.facts(),
    layers: layers.origins(),
  })
  const telling = new Telling({
    reports: () => reportsOf(present()),
    nothing: () => nothingLeft(present()),
    put: putMounts,
    clock,
    log,
  })
  const ended = Promise.withResolvers<string>()
  let upgrading = false
  let closing = false
  const upgrade = async () => {
    if (upgrading) throw new Failure('try-later', 'an upgrade is under way')
    upgrading = true
    try {
      const command = await init.successor()
      log.info('becomes the program that is installed now', { program: command[0] })
      await save()
      // Requests that are answered after this would be nobody's; those of the API get an answer or none at all.
      clock.after(50, () => void becomeNext())
    } catch (error) {
      upgrading = false
      throw error
    }
  }
  const becomeNext = async () => {
    const rest = () => listening.rest(clock, longestWaitMs)
    try {
      // While reads are still answered, which the kernel may wait for. It may take long, and the program be gone by then.
      await rest()
      const command = await init.successor()
      if (!(await rest())) {
        log.warn('a request is cut off by the upgrade: it took too long', { waitedMs: longestWaitMs })
      }
      if (!closing) await become(command)
    } catch (error) {
      upgrading = false
      log.error('it stays what it is', { error: (error as Error).message })
    }
  }
  /** When its threads have ended nobody answers reads but the program that comes: what goes wrong here stops nothing. */
  const become = async (command: readonly string[]) => {
    const failed = (error: unknown) => log.warn('this program ends badly', { error: (error as Error).message })
    const ends = [listening.stop, () => server.stop(), () => layers.close(), init.settled]
    await endEach(ends, { clock, mostMs: longestEndMs, failed })
    // As it is after the last request.
    note()
    for (;;) {
      try {
        turnInto(command, { fuse, lock }, (error) => log.error('it becomes itself again', { error: error.message }))
      } catch (error) {
        // For want of memory. Reads wait for as long; without this process they would all fail.
        log.error('no program starts; it is tried again', { error: (error as Error).message })
        await pause(clock, startAgainMs)
      }
    }
  }
  const listening = listenAt(places.socket, mounterApp({ layers, mounts, facts, upgrade, log }).fetch)

  let idleSince = clock.now()
  const stopLooking = every(clock, 1000, () => {
    layers.tune()
    void layers.sweep()
    void mounts.sweep()
    if (mounts.count > 0 || layers.count > 0 || listening.active > 0) idleSince = clock.now()
    else if (init.idleMs > 0 && clock.now() - idleSince >= init.idleMs) ended.resolve('nothing is mounted any more')
  })
  void server.gone.then(() => ended.resolve('its file system was unmounted by somebody else'))

  return {
    facts,
    ended: ended.promise,
    upgrade,
    async close() {
      closing = true
      stopLooking()
      await listening.stop()
      await telling.close()
      if (mounts.count === 0 && layers.count === 0) await kernel.unmount(places.files, true)
      await server.stop()
      await layers.close()
      await init.settled()
    },
  }
}

function stateBefore(places: Places, log: Log): State | undefined {
  try {
    return readState(places.state)
  } catch (error) {
    const reason = (error as Error).message
    log.error(`what is mounted cannot be read from ${places.state}; it is to be mounted again`, { error: reason })
    return undefined
  }
}
