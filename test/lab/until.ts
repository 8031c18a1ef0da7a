/** Asks until it is so. @throws after `seconds`, with what did not become true */
export async function until(
  what: string,
  seconds: number,
  holds: () => boolean | Promise<boolean>,
  everyMs = 100,
): Promise<void> {
  const end = performance.now() + seconds * 1000
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`not so after ${seconds} s: ${what}`)
    await Bun.sleep(everyMs)
  }
}
