/**
 * The runtime's own module of that name, as far as it is used here. Its client is the one of the global `WebSocket`, but
 * takes a limit for what comes in.
 */
declare module 'ws' {
  interface Options {
    readonly headers: Record<string, string>
    readonly perMessageDeflate: false
    /** Bytes of a message, its fragments together: the connection is broken off before more are read. */
    readonly maxPayload: number
    readonly tls?: { readonly ca: string }
  }
  export class WebSocket {
    constructor(url: URL, options: Options)
    readonly bufferedAmount: number
    send(text: string): void
    ping(): void
    close(code: number, reason: string): void
    terminate(): void
    on(event: 'open' | 'ping' | 'pong', listener: () => void): void
    on(event: 'message', listener: (data: Buffer, binary: boolean) => void): void
    on(event: 'error', listener: (error: Error) => void): void
    on(event: 'close', listener: (code: number, reason: Buffer) => void): void
  }
}
