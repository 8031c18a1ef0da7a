/** The unix socket of the API: for root alone, and in the place of one that a mounter before has left. */
import { chmodSync, rmSync } from 'node:fs'
import { type Clock, pause } from '../../clock.ts'

const lookEveryMs = 20

export interface Listening {
  /** Requests that are being answered. */
  readonly active: number
  /** Resolves when none is, or after that time; what comes meanwhile is answered too. False when some still are. */
  rest(clock: Clock, mostMs: number): Promise<boolean>
  stop(): Promise<void>
}

/**
 * A mount may take as long as the index of its largest layer takes to be made, and an unmount as long as the kernel takes
 * to let go of what was read. Said of one request (`server.timeout`), it holds in Bun for those alone that have a body.
 * Its types know it of ports alone.
 */
const patient: object = { idleTimeout: 0 }

export function listenAt(socket: string, answer: (request: Request) => Response | Promise<Response>): Listening {
  rmSync(socket, { force: true })
  let active = 0
  const server = Bun.serve({
    unix: socket,
    ...patient,
    async fetch(request) {
      active++
      try {
        return await answer(request)
      } finally {
        active--
      }
    },
  })
  chmodSync(socket, 0o600)
  return {
    get active() {
      return active
    },
    async rest(clock, mostMs) {
      const end = clock.now() + mostMs
      while (active > 0 && clock.now() < end) await pause(clock, lookEveryMs)
      return active === 0
    },
    async stop() {
      await server.stop(true)
      rmSync(socket, { force: true })
    },
  }
}
