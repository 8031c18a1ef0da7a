/** Whoever took a port of this host: a socket of the user `nobody`. For tests that run as root. */

export const nobody = { uid: 65_534, name: 'nobody' } as const

export interface Stranger {
  readonly port: number
  /** Connections that were made to it. */
  readonly connections: () => number
  close(): void
}

/** @param fetch what it answers @param at where; port 0 is any */
export function listenAsNobody(
  fetch: (request: Request) => Response = () => new Response('{}'),
  at = { host: '127.0.0.1', port: 0 },
): Stranger {
  let connections = 0
  process.seteuid!(nobody.uid)
  try {
    // The kernel notes who makes a socket, which is done at once.
    const server = Bun.serve({
      hostname: at.host,
      port: at.port,
      fetch: (request) => {
        connections++
        return fetch(request)
      },
    })
    return { port: server.port!, connections: () => connections, close: () => void server.stop(true) }
  } finally {
    process.seteuid!(0)
  }
}
