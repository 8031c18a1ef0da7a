/** A real scheduler process under the load of many simulated nodes, in phases, each with its figures. */
import { rmSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { NodeInfo } from '../../src/cluster/node-info.ts'
import { LabNode } from '../lab/node.ts'
import { Crowd, type Tally } from './crowd.ts'
import { cpuSeconds, memoryOf, pin } from './process.ts'
import { bucketOf } from './samples.ts'

export interface LoadInit {
  readonly peers: number
  readonly blobs: number
  /** How long they pull. */
  readonly seconds: number
  readonly seed: number
  readonly sockets: number
  /** Seconds within which all of them begin to pull. */
  readonly spread: number
  /** Of the nodes' clock. */
  readonly speed?: number
  readonly binary?: string
  readonly address?: string
}

export interface Latency {
  readonly p50: number
  readonly p99: number
  readonly max: number
}

export interface PhaseFigures {
  readonly phase: 'join' | 'rest' | 'pull'
  readonly seconds: number
  readonly announces: number
  readonly schedules: number
  /** Of what the nodes asked, in ms, from the call to the answer. */
  readonly announceMs: Latency
  readonly scheduleMs: Latency
  /** The scheduler's own time for a decision: 99% took at most so many ms. */
  readonly decisionP99Ms: number
  readonly decisionMeanMs: number
  readonly failed: number
  readonly parentsNamed: number
  readonly cpuSeconds: number
  /** Of the process that plays the nodes. */
  readonly generatorCpuSeconds: number
  readonly resident: number
}

export interface LoadOutcome {
  readonly phases: readonly PhaseFigures[]
  /** Bytes resident at most. */
  readonly peak: number
  /** Members that the scheduler knew at the end, and how many there were. */
  readonly members: { readonly known: number; readonly alive: number }
  readonly pinned: boolean
}

const joinMs = 5000
const restMs = 15_000
const leavingShare = 0.02
const decision = 'shoal_scheduler_decision_seconds'

export async function load(init: LoadInit, say: (line: string) => void = () => {}): Promise<LoadOutcome> {
  const dir = await mkdtemp(join(tmpdir(), 'shoal-load-'))
  const node = new LabNode({
    dir,
    address: init.address ?? '127.0.0.77',
    flags: ['--mode', 'scheduler', '--no-mdns', '--log-level', 'warn'],
    ...(init.binary === undefined ? {} : { binary: init.binary }),
  })
  let crowd: Crowd | undefined
  try {
    await node.ready()
    const pinned = (await pin(node.process.pid, 0)) && (await pin(process.pid, 1))
    crowd = new Crowd({ ...init, scheduler: await infoOf(node), speed: init.speed ?? 1 })
    const phases: PhaseFigures[] = []
    const phase = async (name: PhaseFigures['phase'], run: (crowd: Crowd) => Promise<void>) => {
      say(`  ${name} ...`)
      phases.push(await measured(name, node, crowd!, run))
    }
    await phase('join', (nodes) => nodes.join(Math.min(joinMs, init.peers)))
    await phase('rest', () => Bun.sleep(Math.min(restMs, init.seconds * 500)))
    await phase('pull', async (nodes) => {
      nodes.pull()
      await Bun.sleep(init.seconds * 500)
      await nodes.leave(leavingShare)
      await Bun.sleep(init.seconds * 500)
    })
    const alive = crowd.alive
    return {
      phases,
      peak: memoryOf(node.process.pid).peak,
      members: { known: await membersOf(node), alive },
      pinned,
    }
  } finally {
    crowd?.close()
    await node.process.stop()
    rmSync(dir, { recursive: true, force: true })
  }
}

async function infoOf(node: LabNode): Promise<NodeInfo> {
  const facts = JSON.parse(await node.get('/api/v1/node')) as { id: string; addresses: { peer: string; p2p: string[] } }
  const { id, addresses } = facts
  return { id, url: addresses.peer, p2p: addresses.p2p, modes: ['scheduler'], version: '0.1.0', epoch: 'as it says' }
}

/** Peers and seeds that the scheduler knows; it is neither. */
async function membersOf(node: LabNode): Promise<number> {
  const [peers, seeds] = await Promise.all(['peer', 'seed'].map((mode) => node.metric('shoal_members', { mode })))
  return peers! + seeds!
}

async function measured(
  phase: PhaseFigures['phase'],
  node: LabNode,
  crowd: Crowd,
  run: (crowd: Crowd) => Promise<void>,
): Promise<PhaseFigures> {
  const { pid } = node.process
  const metrics = await node.get('/metrics')
  crowd.tally()
  const before = [performance.now(), cpuSeconds(pid), cpuSeconds(process.pid)] as const
  await run(crowd)
  const after = [performance.now(), cpuSeconds(pid), cpuSeconds(process.pid)] as const
  const tally = crowd.tally()
  const now = await node.get('/metrics')
  const grown = (name: string) => reading(now, name) - reading(metrics, name)
  const decisions = grown(`${decision}_count`)
  return {
    phase,
    seconds: (after[0] - before[0]) / 1000,
    announces: tally.announces.count,
    schedules: tally.schedules.count,
    announceMs: latencyOf(tally, 'announces'),
    scheduleMs: latencyOf(tally, 'schedules'),
    decisionP99Ms: decisions > 0 ? 1000 * bucketOf(metrics, now, decision, 0.99) : 0,
    decisionMeanMs: decisions > 0 ? (1000 * grown(`${decision}_sum`)) / decisions : 0,
    failed: tally.failed,
    parentsNamed: tally.parents,
    cpuSeconds: after[1] - before[1],
    generatorCpuSeconds: after[2] - before[2],
    resident: memoryOf(pid).resident,
  }
}

function latencyOf(tally: Tally, kind: 'announces' | 'schedules'): Latency {
  const samples = tally[kind]
  return { p50: samples.quantile(0.5), p99: samples.quantile(0.99), max: samples.quantile(1) }
}

function reading(text: string, name: string): number {
  return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1] ?? 0)
}
