/**
 * A layer that has no index, and gets none: fetched whole and unpacked by a child of this binary, which makes an index of it
 * on the way.
 */
import { z } from 'zod'
import { Failure, isFailureCode } from '../../failure.ts'
import { parseJson } from '../../json.ts'
import { algorithmOf, type Digest, shortDigest } from '../../oci/digest.ts'
import { ownCommand } from '../kernel/child.ts'
import type { Blob, NodeClient } from './node-client.ts'

export interface WholeLayer {
  readonly blob: Blob
  readonly mediaType: string
  readonly compressedSize: number
}

/** Where the unpacked layer and its index go. */
export interface Target {
  readonly data: string
  readonly index: string
}

export type UnpackWhole = (layer: WholeLayer, target: Target, client: NodeClient, signal: AbortSignal) => Promise<void>

const outcomeSchema = z.union([
  z.object({ layer: z.string() }),
  z.object({ code: z.string().refine(isFailureCode), message: z.string().max(4096) }),
])

/** @throws {Failure} */
export const unpackInChild: UnpackWhole = async ({ blob, mediaType, compressedSize }, target, client, signal) => {
  signal.throwIfAborted()
  const bytes = client.mirror(signal).blob(blob.repository, blob.digest, compressedSize, 0)
  let failed: unknown
  const stdin = new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        const { done, value } = await bytes.next()
        if (done) controller.close()
        else controller.enqueue(value)
      } catch (error) {
        failed = error
        controller.close()
      }
    },
    cancel: () => void bytes.return(undefined),
  })
  const options = ['--media-type', mediaType, '--algorithm', algorithmOf(blob.digest)]
  const args = ['unpack-layer', target.data, target.index, ...options]
  const child = Bun.spawn([...ownCommand, ...args], { stdio: [stdin, 'pipe', 'pipe'], cwd: '/' })
  const stop = () => child.kill('SIGKILL')
  signal.addEventListener('abort', stop)
  try {
    const [out, err, code] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
      child.exited,
    ])
    signal.throwIfAborted()
    // A layer that broke off looks like one that is damaged.
    if (failed !== undefined) throw failed
    judge(out, blob.digest, `shoal unpack-layer ended with ${code}: ${err.trim().slice(-300)}`)
  } finally {
    signal.removeEventListener('abort', stop)
    child.kill('SIGKILL')
    await bytes.return(undefined).catch(() => {})
  }
}

/** @throws {Failure} */
function judge(out: string, digest: Digest, otherwise: string): void {
  const said = outcomeSchema.safeParse(jsonOf(out)).data
  if (!said) throw new Failure('internal', otherwise)
  if (!('layer' in said)) throw new Failure(said.code, said.message)
  if (said.layer === digest) return
  throw new Failure('corrupt', `what came for ${shortDigest(digest)} has another digest`)
}

function jsonOf(text: string): unknown {
  try {
    return parseJson(text)
  } catch {
    return undefined
  }
}
