/** Below those that the kernel gives to clients, any of which may be taken a moment later, and above those of tests. */
const [first, count] = [20_000, 12_000]
const given = new Set<number>()

/** A port of loopback that nobody listens on, at the moment, and that was not given before. */
export function freePort(): number {
  for (;;) {
    const port = first + Math.floor(Math.random() * count)
    if (given.has(port)) continue
    try {
      Bun.listen({ hostname: '127.0.0.1', port, socket: { data() {} } }).stop(true)
    } catch {
      continue
    }
    given.add(port)
    return port
  }
}
