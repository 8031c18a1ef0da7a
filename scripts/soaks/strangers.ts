/** `scripts/soak strangers`: whoever is no member of a cluster with a key, at its ports; a report, or what was otherwise. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Lab } from '../../test/lab/lab.ts'
import { besiege, type Siege } from '../../test/lab/siege.ts'

const clusters = [
  { name: 'with a key alone', flags: [] },
  { name: 'with a key and --encrypt', flags: ['--encrypt'] },
] as const

export interface StrangersSoakInit {
  /** Of each kind. */
  readonly tries: number
  /** Clusters whose name has this in it. */
  readonly only: string
  /** Folder for `strangers.md` and `strangers.json`. */
  readonly output: string
}

/** @throws when anybody got in, or learned what only members know */
export async function strangersSoak({ tries, only, output }: StrangersSoakInit): Promise<void> {
  const obstacle = await Lab.obstacle()
  if (obstacle) throw new Error(`no network namespaces here: ${obstacle}`)
  const chosen = clusters.filter(({ name }) => name.includes(only))
  if (chosen.length === 0) throw new Error(`no cluster of this soak has "${only}" in its name`)
  mkdirSync(output, { recursive: true })
  const sieges: { readonly name: string; readonly seconds: number; readonly siege: Siege }[] = []
  for (const { name, flags } of chosen) {
    const begun = performance.now()
    console.log(`A cluster ${name}: ${tries} tries of each kind ...`)
    const siege = await besiege(flags, tries)
    sieges.push({ name, seconds: (performance.now() - begun) / 1000, siege })
    writeFileSync(join(output, 'strangers.json'), JSON.stringify(sieges, undefined, 2))
    writeFileSync(join(output, 'strangers.md'), sieges.map(markdown).join('\n'))
  }
  console.log(`\n${sieges.map(markdown).join('\n')}\nreport in ${output}`)
  const wrong = sieges.flatMap(({ name, siege }) => siege.complaints.map((complaint) => `${name}: ${complaint}`))
  if (wrong.length > 0) throw new Error(wrong.join('\n'))
}

function markdown({ name, seconds, siege }: { name: string; seconds: number; siege: Siege }): string {
  const { kinds, overheard, said, complaints } = siege
  return [
    `A cluster ${name}, in ${Math.round(seconds)} s:`,
    '',
    '| whoever asks | tries | let in | what came back |',
    '| --- | --- | --- | --- |',
    ...Object.entries(kinds).map(([kind, { tries, successes, answers }]) => {
      const back = kind.startsWith('by libp2p') ? 'bytes, a nonce' : ''
      return `| ${kind} | ${tries} | ${successes} | ${answers.join(', ')} ${back} |`
    }),
    '',
    `They were told, in all: ${said.map((text) => `\`${text}\``).join(', ')}`,
    '',
    'A node that had no key, and one with an old key, which heard mDNS and were told of a member: each stayed alone.',
    '',
    `The node that was tried: ${siege.files.join(' open files before, ')} after; ${siege.memoryMiB.join(' MiB of memory before, ')} after; ${siege.lines} lines in its log.`,
    '',
    'mDNS tells everybody on the network:',
    '',
    ...overheard.map(({ name, type, data }) => `- ${name} ${type} ${data}`),
    '',
    complaints.length === 0 ? 'All as promised.' : `Otherwise than promised: ${complaints.join('; ')}`,
    '',
  ].join('\n')
}
