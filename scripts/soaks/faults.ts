/** `scripts/soak faults`, `kills` and others: rounds of faults, and a report that is written after each of them. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { faults } from '../../test/faults/all.ts'
import { churn } from '../../test/faults/churn.ts'
import { crowd, crowdOfPeers } from '../../test/faults/crowds.ts'
import type { Fault } from '../../test/faults/fault.ts'
import { killFault } from '../../test/faults/kills.ts'
import { splitOfTen } from '../../test/faults/networks.ts'
import { type FaultReport, markdown } from '../../test/faults/report.ts'
import { type Tried, tryFault } from '../../test/faults/run.ts'

interface Soak {
  /** @param minutes what it was given */
  readonly faults: (minutes: number) => readonly Fault[]
  readonly rounds: number
  readonly minutes: number
}

export const faultSoaks: Readonly<Record<string, Soak>> = {
  faults: { faults: () => faults, rounds: 10, minutes: 120 },
  kills: { faults: () => [killFault], rounds: 100, minutes: 120 },
  clients: { faults: () => [crowd(1000)], rounds: 3, minutes: 120 },
  peers: { faults: () => [crowdOfPeers(300)], rounds: 3, minutes: 120 },
  split: { faults: () => [splitOfTen], rounds: 3, minutes: 120 },
  // One round, which is as long.
  churn: { faults: (minutes) => [churn(minutes)], rounds: 1, minutes: 30 },
}

export interface FaultSoakInit {
  readonly name: string
  /** Default: what suits that soak. */
  readonly rounds?: number
  /** No round begins later. Default: what suits that soak. */
  readonly minutes?: number
  readonly seed: number
  /** Faults whose name has this in it. */
  readonly only: string
  /** Adds to the report that is there. */
  readonly more: boolean
  /** Folder for `<name>.md`, `<name>.json`, and in `<name>-logs` what nodes logged in rounds that failed. */
  readonly output: string
}

/** @throws when a round did not end as promised, after all rounds */
export async function faultSoak({ name, seed, only, more, output, ...given }: FaultSoakInit): Promise<void> {
  const soak = faultSoaks[name]
  if (!soak) throw new Error(`there is no soak "${name}"`)
  const { rounds, minutes } = { ...soak, ...given }
  const chosen = soak.faults(minutes).filter((fault) => fault.name.includes(only))
  if (chosen.length === 0) throw new Error(`no fault of this soak has "${only}" in its name`)
  const end = performance.now() + minutes * 60_000
  const before = more ? reportIn(output, name) : []
  const tried = new Map<Fault, Tried[]>(
    chosen.map((fault) => [fault, [...(before.find((entry) => entry.fault.name === fault.name)?.rounds ?? [])]]),
  )
  const skipped = new Map<Fault, string>()
  mkdirSync(output, { recursive: true })
  const report = (): FaultReport[] =>
    chosen.map((fault) => {
      const why = skipped.get(fault)
      return { fault, rounds: tried.get(fault) ?? [], ...(why === undefined ? {} : { skipped: why }) }
    })
  // Round by round, so that one that is cut short has tried all of them.
  for (let round = 0; round < rounds && performance.now() < end; round++) {
    for (const fault of chosen) {
      if (performance.now() >= end) break
      if (round === 0) {
        const why = await fault.obstacle?.()
        if (why !== undefined) skipped.set(fault, why)
      }
      const outcomes = tried.get(fault)!
      if (skipped.has(fault) || outcomes.length >= rounds) continue
      const outcome = await tryFault(fault, seed + outcomes.length, join(output, `${name}-logs`))
      outcomes.push(outcome)
      const { held, seconds, remark } = outcome
      console.log(
        `${held ? 'as promised' : 'OTHERWISE  '} ${seconds.toFixed(1)} s, seed ${outcome.seed}: ${fault.name}: ${remark}`,
      )
      writeFileSync(join(output, `${name}.json`), JSON.stringify(report(), undefined, 2))
      writeFileSync(join(output, `${name}.md`), markdown(report()))
    }
  }
  const all = [...tried.values()].flat()
  const held = all.filter((round) => round.held).length
  const open = [...skipped].map(([fault, why]) => `; not tried: ${fault.name} (${why})`).join('')
  console.log(`\n${markdown(report())}\n${held} of ${all.length} rounds as promised${open}; report in ${output}`)
  if (all.length === 0 || held < all.length) throw new Error(`${all.length - held} rounds ended otherwise`)
}

function reportIn(output: string, name: string): readonly FaultReport[] {
  const path = join(output, `${name}.json`)
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as FaultReport[]) : []
}
