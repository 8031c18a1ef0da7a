/** Has what is mounted written down, before it is relied on or after something was let go. */
import { setImmediate } from 'node:timers/promises'
import { Failure } from '../../failure.ts'
import type { Log } from '../../telemetry/log.ts'
import { withRoom } from '../unpacked/room.ts'
import { type State, writeState } from './state.ts'

export interface SavingInit {
  readonly file: string
  readonly state: () => State
  /** Something goes that nobody mounts; false when there is no such thing. */
  readonly makeRoom: () => Promise<boolean>
  readonly log: Log
  readonly write?: typeof writeState
}

export interface Saving {
  /** @throws {Failure} `no-space` */
  save(): Promise<void>
  /** Should it fail, more is written down than there is: that is told, and no more. */
  note(): void
}

export function saving({ file, state, makeRoom, log, write = writeState }: SavingInit): Saving {
  const sentenceOf = (error: unknown) =>
    `what is mounted cannot be written down: ${(error as Error).message}; see to the disk of ${file}`
  const writeNext = async () => {
    // Those that are asked for until then share it.
    await setImmediate()
    next = undefined
    try {
      await withRoom(makeRoom, () => write(file, state()))
    } catch (error) {
      throw new Failure('no-space', sentenceOf(error))
    }
  }
  let next: Promise<void> | undefined
  return {
    save() {
      next ??= writeNext()
      return next
    },
    note() {
      try {
        write(file, state())
      } catch (error) {
        log.error(sentenceOf(error))
      }
    },
  }
}
