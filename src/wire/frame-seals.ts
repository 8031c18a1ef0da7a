/**
 * Frames of a session between two nodes that share a secret: each carries a MAC over its place in the row and its text.
 * What others put in, leave out, repeat or change ends the session; the first frame that is right proves both ends.
 */
import { timingSafeEqual } from 'node:crypto'

/** Characters of base64 before the text: 144 bits. */
export const sealLength = 24

export class FrameSeals {
  readonly #out: Bun.CryptoHasher
  readonly #in: Bun.CryptoHasher
  #sent = 0
  #taken = 0

  /** @param secret known to the two nodes alone, and used for one session */
  constructor(secret: Uint8Array, dialled: boolean) {
    const way = (dialler: boolean) =>
      new Bun.CryptoHasher('sha256', new Bun.CryptoHasher('sha256', secret).update(`dialler ${dialler}`).digest())
    this.#out = way(dialled)
    this.#in = way(!dialled)
  }

  /** What goes over the socket for `text`. */
  put(text: string): string {
    return sealOf(this.#out, this.#sent++, text) + text
  }

  /** The text, or `undefined` if what came is not the next frame of the other end. */
  take(sealed: string): string | undefined {
    const text = sealed.slice(sealLength)
    const right = Buffer.from(sealOf(this.#in, this.#taken++, text), 'latin1')
    const said = Buffer.from(sealed.slice(0, sealLength), 'latin1')
    return said.length === right.length && timingSafeEqual(said, right) ? text : undefined
  }
}

function sealOf(mac: Bun.CryptoHasher, number: number, text: string): string {
  return mac.copy().update(`${number}\n`).update(text).digest('base64').slice(0, sealLength)
}
