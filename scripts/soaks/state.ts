/** `scripts/soak state`: every node is replaceable, one after the other, while all of them work; a report, or what was lost. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { seededRandom } from '../../src/clock.ts'
import { Durable, type DurableRound } from '../../test/lab/durable.ts'

export interface StateSoakInit {
  readonly rounds: number
  readonly minutes: number
  readonly seed: number
  /** Folder for `state.md` and `state.json`. */
  readonly output: string
}

/** @throws when anything that was acknowledged is lost */
export async function stateSoak({ rounds, minutes, seed, output }: StateSoakInit): Promise<void> {
  const obstacle = await Durable.obstacle()
  if (obstacle) throw new Error(`not here: ${obstacle}`)
  mkdirSync(output, { recursive: true })
  const done: DurableRound[] = []
  const end = performance.now() + minutes * 60_000
  const durable = await Durable.open(seededRandom(seed))
  try {
    while (done.length < rounds && performance.now() < end) {
      const round = await durable.round()
      done.push(round)
      console.log(`round ${done.length}: ${line(round)}`)
      writeFileSync(join(output, 'state.json'), JSON.stringify(done, undefined, 2))
      writeFileSync(join(output, 'state.md'), markdown(done))
    }
    const images = await durable.fromNothing()
    const last = `\nAt the end both seeds and the peer lost their disks at once: all ${images} images are there.\n`
    writeFileSync(join(output, 'state.md'), markdown(done) + last)
    console.log(`\n${markdown(done)}${last}report in ${output}`)
  } finally {
    await durable.close()
  }
}

function line({ killed, diskLost, during, pushes, preheats, again, seconds }: DurableRound): string {
  const when = during.length > 0 ? `during ${during.join(' and ')}` : 'with nothing under way'
  const lost = diskLost ? ' and its disk lost' : ''
  return `${killed} killed${lost} ${when}; ${pushes} pushes and ${preheats} preheats acknowledged, ${again} tried again, nothing lost (${seconds.toFixed(1)} s)`
}

function markdown(done: readonly DurableRound[]): string {
  const sum = (of: (round: DurableRound) => number) => done.reduce((all, round) => all + of(round), 0)
  const kinds = ['seed1', 'seed2', 'sched1', 'sched2'].map((name) => {
    const rounds = done.filter(({ killed }) => killed === name)
    const during = (what: string) => rounds.filter((round) => round.during.some((each) => each === what)).length
    const lost = rounds.filter(({ diskLost }) => diskLost).length
    return `| ${name} | ${rounds.length} | ${lost} | ${during('push')} | ${during('preheat')} | ${during('replication')} |`
  })
  return [
    '| killed | rounds | disk lost too | during a push | a preheat | replication |',
    '| --- | --- | --- | --- | --- | --- |',
    ...kinds,
    '',
    `${done.length} rounds: ${sum(({ pushes }) => pushes)} pushes and ${sum(({ preheats }) => preheats)} preheats acknowledged,`,
    `${sum(({ again }) => again)} tried again at another node; of what was acknowledged, lost: 0.`,
    '',
  ].join('\n')
}
