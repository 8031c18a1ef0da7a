/** JSON that a program of this host tells. */
import { Failure } from '../failure.ts'
import { parseJson } from '../json.ts'

/** Undefined for what is no JSON. @param what for the one who sent too much. @throws {Failure} `too-large` */
export async function jsonIn(body: AsyncIterable<Uint8Array>, mostBytes: number, what: string): Promise<unknown> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of body) {
    bytes += chunk.length
    if (bytes > mostBytes) throw new Failure('too-large', `${what} has at most ${mostBytes} bytes`)
    chunks.push(chunk)
  }
  try {
    return parseJson(Buffer.concat(chunks).toString('utf8'))
  } catch {
    return undefined
  }
}
