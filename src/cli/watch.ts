/**
 * Shows something again and again until a signal comes, or nobody reads on: in place on a terminal, line by line elsewhere. A node that
 * cannot be asked for a while, as during an upgrade, ends nothing, unless it could not be asked from the beginning.
 */
import { pause } from '../clock.ts'
import type { Context } from './context.ts'
import { CommandError } from './exit.ts'
import { enter, leave, redraw, type Screen } from './screen.ts'

export interface Watched<T> {
  look(): Promise<T>
  /** All of it, for a terminal. */
  page(found: T): string
  /** The same in a line. */
  line(found: T): string
  readonly everyMs: number
}

/** @throws {CommandError} when the first look fails */
export async function watch<T>(watched: Watched<T>, context: Context, screen: Screen | undefined): Promise<void> {
  const over = new AbortController()
  const stopListening = context.onSignal(() => over.abort())
  const stopWaiting = context.onReaderGone?.(() => over.abort())
  try {
    const first = await watched.look()
    if (screen) await watchInPlace(watched, first, context, screen, over.signal)
    else await watchByLine(watched, first, context, over.signal)
  } finally {
    stopListening()
    stopWaiting?.()
  }
}

async function watchInPlace<T>(
  watched: Watched<T>,
  first: T,
  context: Context,
  screen: Screen,
  signal: AbortSignal,
): Promise<void> {
  let page = watched.page(first)
  screen.write(enter)
  try {
    screen.write(redraw(`${title(watched, context)}\n\n${page}`, screen.size()))
    for await (const found of looks(watched, context, signal)) {
      // What was seen last stays in sight under what is wrong now.
      if (!(found instanceof CommandError)) page = watched.page(found)
      const trouble = found instanceof CommandError ? `; ${found.message}` : ''
      screen.write(redraw(`${title(watched, context)}${trouble}\n\n${page}`, screen.size()))
    }
  } finally {
    screen.write(leave)
  }
  context.out(page)
}

async function watchByLine<T>(watched: Watched<T>, first: T, context: Context, signal: AbortSignal): Promise<void> {
  context.out(watched.line(first))
  for await (const found of looks(watched, context, signal)) {
    if (found instanceof CommandError) context.err(`shoal: ${found.message}`)
    else context.out(watched.line(found))
  }
}

/** Ends when `signal` aborts, without another look. */
async function* looks<T>(
  { look, everyMs }: Watched<T>,
  { clock }: Context,
  signal: AbortSignal,
): AsyncGenerator<T | CommandError> {
  const ended = new Promise<undefined>((resolve) => signal.addEventListener('abort', () => resolve(undefined)))
  while (!signal.aborted) {
    await pause(clock, everyMs, signal).catch(() => {})
    if (signal.aborted) return
    const looked = look().catch((error: unknown) => {
      if (error instanceof CommandError) return error
      throw error
    })
    const found = await Promise.race([looked, ended])
    if (found === undefined) return
    yield found
  }
}

function title({ everyMs }: Watched<unknown>, { clock }: Context): string {
  const time = new Date(clock.wall()).toISOString().slice(11, 19)
  return `${time} UTC, every ${everyMs / 1000} s; Ctrl-C ends`
}
