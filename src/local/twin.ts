/**
 * People are told to say `localhost:4880` to their engines, and that is 127.0.0.1 and ::1. A node that listened on one of
 * them would leave the other to any user of the host, who then says what an image is and is shown logins.
 */
import { type Address, formatAddress, ListenError, twinOf } from '../listen.ts'
import type { Log } from '../telemetry/log.ts'
import { ownHosts, strangerAt } from './stranger.ts'

/**
 * Opens the other half of `localhost`, where this host has one. Without it a node serves all who say 127.0.0.1: so it starts
 * when somebody was there before it, and says who.
 * @param address that the node listens on, with the port it got @param open may throw a {@link ListenError}
 * @param own addresses of this host
 */
export async function openTwin(
  address: Address,
  open: (twin: Address) => void | Promise<void>,
  log: Log,
  own = ownHosts(),
): Promise<void> {
  const twin = twinOf(address)
  if (!twin || !own.includes(twin.host)) return
  try {
    await open(twin)
  } catch (error) {
    if (!(error instanceof ListenError)) throw error
    const user = await strangerAt(twin)
    log.warn(
      `who asks for localhost:${twin.port} may not get to this node, but to whoever has ${formatAddress(twin)}`,
      {
        ...(user === undefined ? { reason: error.message } : { user }),
        mend: `ss -ltnp 'sport = :${twin.port}' shows, as root, which program has it; end that, and start this node again`,
      },
    )
  }
}
