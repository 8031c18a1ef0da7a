/** Whether this host's clock agrees with the others', by the `Date` of what they answer. Pure. */
import { ticketRules } from '../cluster/tickets.ts'
import { type Finding, findingsOf } from './finding.ts'

export interface Witness {
  readonly kind: 'member' | 'source'
  readonly name: string
  /** How far its clock is ahead of ours, in seconds; a second or so is the way there and the rounding. */
  readonly ahead: number
}

const { good, note, warning, problem } = findingsOf('clock')

/** In seconds. Tickets between nodes want 30; certificates and tokens of registries are for minutes at least. */
const refusedBy = { member: ticketRules.clocks / 1000, source: 240 }
const tellAfter = 5

/** `keyed`: nodes of this cluster refuse requests whose time is too far off. */
export function judgeClock(witnesses: readonly Witness[], keyed: boolean): Finding[] {
  if (witnesses.length === 0) {
    return [note('nobody answered whose clock this one could be compared with', { remedy: 'timedatectl' })]
  }
  const off = witnesses.filter(({ ahead }) => Math.abs(ahead) > tellAfter)
  if (off.length === 0) return [good(`this clock agrees with ${list(witnesses)}`)]
  const sorted = off.map(({ ahead }) => ahead).sort((a, b) => a - b)
  const middle = sorted[Math.floor(sorted.length / 2)]!
  // When all that were asked agree with each other, it is this host that is wrong.
  const own = witnesses.length > 1 && witnesses.every(({ ahead }) => Math.abs(ahead - middle) <= tellAfter)
  if (own) {
    const worst = off.some((witness) => isRefused(witness, keyed)) ? problem : warning
    return [
      worst(`this clock is ${span(middle)} ${middle > 0 ? 'behind' : 'ahead'}: so say ${list(witnesses)}`, {
        why: whyFor(off, keyed),
        remedy: 'timedatectl set-ntp true   # or chronyc makestep',
      }),
    ]
  }
  return off.map((witness) => {
    const level = isRefused(witness, keyed) ? problem : warning
    return level(
      `the clock of ${witness.name} is ${span(witness.ahead)} ${witness.ahead > 0 ? 'ahead of' : 'behind'} this one`,
      {
        why: whyFor([witness], keyed),
        remedy: 'timedatectl   # on both hosts: which of them is not synchronized',
      },
    )
  })
}

function isRefused({ kind, ahead }: Witness, keyed: boolean): boolean {
  return (kind === 'source' || keyed) && Math.abs(ahead) >= refusedBy[kind]
}

function whyFor(off: readonly Witness[], keyed: boolean): string {
  const members = off.some(({ kind }) => kind === 'member')
  if (members && keyed) return `with a cluster key, nodes refuse what is more than ${refusedBy.member} s off`
  if (members) return 'times in logs cannot be compared, and with a cluster key nodes would refuse each other'
  return 'certificates and tokens of registries seem to be not valid yet, or not any more'
}

const list = (witnesses: readonly Witness[]) => {
  const names = witnesses.map(({ name }) => name)
  return names.length > 3 ? `${names.slice(0, 3).join(', ')} and ${names.length - 3} more` : names.join(', ')
}

function span(seconds: number): string {
  const all = Math.round(Math.abs(seconds))
  if (all < 120) return `${all} s`
  if (all < 7200) return `${Math.round(all / 60)} minutes`
  return all < 172_800 ? `${Math.round(all / 3600)} hours` : `${Math.round(all / 86_400)} days`
}
