/** A terminal of some columns that keeps what is written to it. */
import { Writable } from 'node:stream'
import { stripVTControlCharacters } from 'node:util'

export class NarrowTerminal extends Writable {
  readonly isTTY = true
  #text = ''

  constructor(readonly columns: number) {
    super({
      write: (chunk: Buffer, _, done) => {
        this.#text += chunk.toString()
        done()
      },
    })
  }

  /** Its modes that were switched off (RM), as `?7l` for wrapping. */
  switched(): string[] {
    return this.#sequences().flatMap((rest) => /^\?\d+l/.exec(rest)?.[0] ?? [])
  }

  /** Columns of the widest line; what goes to the start of a line (CHA) begins another. */
  widest(): number {
    const text = this.#sequences().map((rest) =>
      rest.replace(/^[?\d;]*[A-Z]/i, (all) => (all.endsWith('G') ? '\n' : '')),
    )
    return Math.max(
      ...text
        .join('')
        .split(/[\r\n]/)
        .map((line) => Bun.stringWidth(stripVTControlCharacters(line))),
    )
  }

  /** Each with the text up to the next one (ECMA-48: CSI). */
  #sequences(): string[] {
    return this.#text.split('\u001b[')
  }
}
