/** Mounts and unmounts by child processes; what goes wrong there is a sentence here. */

import { Failure } from '../../failure.ts'
import { errnos, nameOfErrno } from '../../fuse/libc.ts'
import { type Call, type Outcome, overlaidStep, type Seen } from './calls.ts'
import type { Carry } from './child.ts'
import { missingType } from './support.ts'
import { usersOf } from './users.ts'

/** ENOTBLK: it is no block device, and a file of a file system whose pages EROFS cannot have. */
const noPages = 15

export class Kernel {
  readonly #carry: Carry

  constructor(carry: Carry) {
    this.#carry = carry
  }

  /** @throws {Failure} */
  async make(call: Call, fuse?: number): Promise<Outcome> {
    const [outcome] = await this.#carry([call], fuse)
    if (!outcome) throw new Failure('internal', 'nothing was said of a mount')
    if (outcome.errno !== 0) throw new Failure('unavailable', sentenceOf(call, outcome))
    return outcome
  }

  async look(path: string): Promise<Seen> {
    const [outcome] = await this.#carry([{ do: 'look', path }])
    if (!outcome?.seen) throw new Failure('internal', `nobody could look at ${path}`)
    return outcome.seen
  }

  /**
   * Whether an overlay writes to these folders, wherever it is: what was mounted lives on in other namespaces, and below
   * other overlays. `lower`: an empty folder. @throws {Failure} when the kernel does not say
   */
  async overlaid(upper: string, work: string, lower: string): Promise<boolean> {
    const call: Call = { do: 'overlaid', upper, work, lower }
    const [outcome] = await this.#carry([call])
    if (outcome?.errno === errnos.ENOENT) return false
    // It is refused for being in use before anything else is looked at.
    if (outcome && (outcome.errno === 0 || outcome.step === overlaidStep)) return outcome.errno === errnos.EBUSY
    throw new Failure('unavailable', sentenceOf(call, outcome ?? { errno: 0, said: [] }))
  }

  /** Out of sight, all of them, and gone when nobody uses them any more. @returns those that could not be */
  async detach(targets: readonly string[]): Promise<Stays[]> {
    const calls = targets.map((target): Call => ({ do: 'unmount', target, lazy: true }))
    const outcomes = calls.length > 0 ? await this.#carry(calls) : []
    return outcomes.flatMap((outcome, i) =>
      outcome.errno === 0 || outcome.errno === errnos.EINVAL
        ? []
        : [{ target: targets[i]!, why: sentenceOf(calls[i]!, outcome) }],
    )
  }

  /** False when it is in use. What is no mount any more is no error. @throws {Failure} */
  async unmount(target: string, lazy = false): Promise<boolean> {
    const call: Call = { do: 'unmount', target, lazy }
    const [outcome] = await this.#carry([call])
    switch (outcome?.errno) {
      case 0:
      case errnos.EINVAL:
      case errnos.ENOENT:
        return true
      case errnos.EBUSY:
        return false
      default:
        throw new Failure('unavailable', sentenceOf(call, outcome ?? { errno: 0, said: [] }))
    }
  }
}

/** What is said of those that stay. */
export interface Stays {
  readonly target: string
  readonly why: string
}

function sentenceOf(call: Call, { errno, step, said }: Outcome): string {
  if (call.do === 'look') return `${call.path} cannot be looked at: ${nameOfErrno(errno)}`
  if (call.do === 'unmount') return `${call.target} cannot be unmounted: ${nameOfErrno(errno)}`
  if (call.do === 'overlaid') return `it cannot be said who writes to ${call.upper}: ${nameOfErrno(errno)} (${step})`
  if (call.do === 'alike') return `${call.folder} cannot be made like ${call.like}: ${step}`
  if (call.do === 'folders') return `folders that the layer at ${call.layer} does not describe cannot be made: ${step}`
  if (errno === errnos.ENODEV && step === `open ${call.type}`) return missingType(call.type)
  if (errno === errnos.EPERM) {
    return `this process may not mount (${step}); in a container it needs CAP_SYS_ADMIN, and a profile that lets it mount`
  }
  if (call.type === 'erofs' && errno === errnos.EINVAL && said.length === 0 && step === 'make erofs') {
    return 'this kernel does not mount EROFS images from files: it needs Linux 6.12 or newer with CONFIG_EROFS_FS_BACKED_BY_FILE'
  }
  if (call.type === 'erofs' && errno === noPages) {
    const source = call.options.find(([key]) => key === 'source')?.[1] ?? 'it'
    return `no EROFS image can be mounted from the file system that ${source} is on, such as overlayfs or tmpfs; give the mounter a --data-dir on a disk`
  }
  const reason = said.length > 0 ? said.join('; ') : nameOfErrno(errno)
  return `the kernel did not mount ${call.type} at ${call.target}: ${reason} (${step})`
}

/** `DIR is in use by bash (12), python3 (14)` */
export function busySentence(dir: string, users = usersOf(dir)): string {
  const shown = users.slice(0, 5).map(({ pid, name }) => `${name} (${pid})`)
  const more = users.length > shown.length ? ` and ${users.length - shown.length} more` : ''
  const by = shown.length > 0 ? `by ${shown.join(', ')}${more}` : 'by another namespace or a mount below it'
  return `${dir} is in use ${by}; end that, and unmount it then`
}
