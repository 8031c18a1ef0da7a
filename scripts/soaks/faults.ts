/** `scripts/soak faults|kills|clients|split`: rounds of faults, and a report that is written after each of them. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { faults } from '../../test/faults/all.ts'
import { crowd } from '../../test/faults/crowds.ts'
import type { Fault } from '../../test/faults/fault.ts'
import { killFault } from '../../test/faults/kills.ts'
import { splitOfTen } from '../../test/faults/networks.ts'
import { type FaultReport, markdown } from '../../test/faults/report.ts'
import { type Tried, tryFault } from '../../test/faults/run.ts'

export const faultSoaks: Readonly<Record<string, { readonly faults: readonly Fault[]; readonly rounds: number }>> = {
  faults: { faults, rounds: 10 },
  kills: { faults: [killFault], rounds: 100 },
  clients: { faults: [crowd(1000)], rounds: 3 },
  split: { faults: [splitOfTen], rounds: 3 },
}

export interface FaultSoakInit {
  readonly name: string
  /** Default: what suits that soak. */
  readonly rounds?: number
  /** No round begins later. */
  readonly minutes: number
  readonly seed: number
  /** Faults whose name has this in it. */
  readonly only: string
  /** Folder for `<name>.md`, `<name>.json`, and in `<name>-logs` what nodes logged in rounds that failed. */
  readonly output: string
}

/** @throws when a round did not end as promised, after all rounds */
export async function faultSoak({ name, rounds, minutes, seed, only, output }: FaultSoakInit): Promise<void> {
  const soak = faultSoaks[name]
  if (!soak) throw new Error(`there is no soak "${name}"`)
  const chosen = soak.faults.filter((fault) => fault.name.includes(only))
  if (chosen.length === 0) throw new Error(`no fault of this soak has "${only}" in its name`)
  const end = performance.now() + minutes * 60_000
  const tried = new Map<Fault, Tried[]>(chosen.map((fault) => [fault, []]))
  const skipped = new Map<Fault, string>()
  mkdirSync(output, { recursive: true })
  const report = (): FaultReport[] =>
    chosen.map((fault) => {
      const why = skipped.get(fault)
      return { fault, rounds: tried.get(fault) ?? [], ...(why === undefined ? {} : { skipped: why }) }
    })
  // Round by round, so that one that is cut short has tried all of them.
  for (let round = 0; round < (rounds ?? soak.rounds) && performance.now() < end; round++) {
    for (const fault of chosen) {
      if (performance.now() >= end) break
      if (round === 0) {
        const why = await fault.obstacle?.()
        if (why !== undefined) skipped.set(fault, why)
      }
      if (skipped.has(fault)) continue
      const outcome = await tryFault(fault, seed + round, join(output, `${name}-logs`))
      tried.get(fault)!.push(outcome)
      const { held, seconds, remark } = outcome
      console.log(
        `${held ? 'as promised' : 'OTHERWISE  '} ${seconds.toFixed(1)} s, seed ${seed + round}: ${fault.name}: ${remark}`,
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
