/** Lines of a terminal that are drawn over: each stays a line, and the terminal as it was, however the process ends. */
import type { GenericFormatter, Options } from 'cli-progress'
import { printable } from './printable.ts'

/** As far as it is needed of standard error. */
export type Terminal = NodeJS.WritableStream & { readonly isTTY?: boolean; readonly columns?: number }

/** Serial lines, and terminals that programs make, often do not know their size, and say 0. */
const usualColumns = 80

/** Printable, and never as wide as the window, for terminals would begin another line. */
export function cut(text: string, columns = usualColumns): string {
  const line = printable(text)
  const wide = columns || usualColumns
  if (Bun.stringWidth(line) < wide) return line
  let start = line.slice(0, Math.max(0, wide - 2))
  while (Bun.stringWidth(start) > Math.max(0, wide - 2)) start = start.slice(0, -1)
  return `${start}>`
}

/** Of bars of which nothing stays when they end. Neither cursor nor wrapping is switched off: a signal would leave it so. */
export function barOptions(stream: Terminal, format: GenericFormatter): Options {
  return {
    stream,
    clearOnComplete: true,
    hideCursor: false,
    linewrap: true,
    fps: 5,
    format: (options, params, payload) => cut(format(options, params, payload), stream.columns),
  }
}
