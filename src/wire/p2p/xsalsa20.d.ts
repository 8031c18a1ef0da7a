/** The package has no types of its own. */
declare module 'xsalsa20' {
  interface Cipher {
    /** The next bytes of the key stream, added to `input`. */
    update(input: Uint8Array): Uint8Array
    /** Gives its memory back; it must not be used after that. */
    finalize(): void
  }
  export default function xsalsa20(nonce: Uint8Array, key: Uint8Array): Cipher
}
