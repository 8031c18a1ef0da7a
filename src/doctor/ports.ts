/** Whether the ports of a node are there for it. Pure. */
import { type Address, formatAddress, isLoopback } from '../listen.ts'
import { type Finding, findingsOf } from './finding.ts'
import type { Ways } from './ways.ts'

export interface Holder {
  readonly pid: number
  readonly program: string
}

export interface PortFacts {
  /** `--registry-addr` */
  readonly flag: string
  readonly address: Address
  /** Somebody listens there, or on all addresses. */
  readonly taken: boolean
  /** Who; absent where this user may not know. */
  readonly holder?: Holder
  /** Which user has it, or the other half of `localhost`, who is none that a node is believed to run as. */
  readonly stranger?: { readonly user: string; readonly address: Address }
}

const { good, warning, problem } = findingsOf('ports')
const forOthers = new Set(['--peer-addr', '--p2p-addr'])
/** Where engines, mounts and commands of this host believe what they are told. */
const believed = new Set(['--registry-addr', '--admin-addr'])

/** `running`: a node answers at the admin port, so what is taken is taken by it. */
export function judgePorts(ports: readonly PortFacts[], running: boolean, ways: Ways): Finding[] {
  const found = ports.flatMap((port) => ofStranger(port) ?? (running ? ofNode(port, ways) : forNode(port, ways)))
  if (found.length > 0) return found
  const list = ports.map(({ address }) => formatAddress(address)).join(', ')
  return [good(running ? `the node listens on ${list}` : `free for a node: ${list}`)]
}

function ofStranger({ flag, stranger }: PortFacts): Finding[] | undefined {
  if (stranger === undefined || !believed.has(flag)) return undefined
  const { user, address } = stranger
  return [
    problem(`${formatAddress(address)} (${flag}) is held by the user ${user}, and no node of root or the service`, {
      why: 'engines take what that user gives them for images; mounts, and commands with a token, do not',
      remedy: `ss -ltnp 'sport = :${address.port}'   # as root: which program; stop it, then start the node again`,
    }),
  ]
}

function ofNode({ flag, address, taken }: PortFacts, ways: Ways): Finding[] {
  const where = `${formatAddress(address)} (${flag})`
  if (!taken) {
    return [
      problem(`nothing listens on ${where}`, {
        why: 'the settings that were read here are not those of the node that runs, or it lost that port',
        remedy: 'shoal status   # its addresses; then give doctor the flags that the node was started with',
      }),
    ]
  }
  if (!forOthers.has(flag) || !isLoopback(address.host)) return []
  return [
    warning(`other hosts do not reach ${where}`, {
      why: 'it is a loopback address: this node shares nothing with any other host',
      remedy: ways.set(`${flag} 0.0.0.0:${address.port}`),
    }),
  ]
}

function forNode({ flag, address, taken, holder }: PortFacts, ways: Ways): Finding[] {
  if (!taken) return []
  const who = holder ? `${holder.program} (pid ${holder.pid})` : 'another program'
  const free = formatAddress({ host: address.host, port: address.port + 10_000 })
  const another = holder?.program === 'shoal'
  return [
    problem(`${formatAddress(address)} (${flag}) is taken by ${who}`, {
      why: 'a node does not start while it cannot have one of its ports',
      remedy: another
        ? 'shoal doctor --admin-addr HOST:PORT   # where that node has its admin port'
        : `${holder ? `kill ${holder.pid}` : `ss -ltnp 'sport = :${address.port}'   # as root: who it is; stop that`}, or: ${ways.set(`${flag} ${free}`)}`,
    }),
  ]
}
