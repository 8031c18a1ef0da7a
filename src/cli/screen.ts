/** Text that is drawn again in place: what is sent to a terminal (ECMA-48, and xterm's second screen). Pure. */

import { cut } from '../terminal-lines.ts'

/** Standard output where it is a terminal. */
export interface Screen {
  /** As it is now: people make it larger and smaller. */
  size(): { readonly columns: number; readonly rows: number }
  write(text: string): void
}

const csi = '\u001b['
/** The other screen, where nothing that was there before is lost, without a cursor; and back. */
export const enter = `${csi}?1049h${csi}?25l`
export const leave = `${csi}?25h${csi}?1049l`

/** From the top, over what is there: clearing first would flicker. What does not fit is cut, and it is said how much. */
export function redraw(text: string, size: ReturnType<Screen['size']>): string {
  // Some do not know their size, and say 0.
  const rows = size.rows || 24
  const lines = text.split('\n')
  const shown =
    lines.length <= rows
      ? lines
      : [...lines.slice(0, rows - 1), `... ${lines.length - rows + 1} more lines: make the window larger`]
  // The last one's end must not move it.
  const body = shown.map((line) => `${cut(line, size.columns)}${csi}K`).join('\r\n')
  return `${csi}H${body}${csi}J`
}
