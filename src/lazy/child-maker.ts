/** {@link Maker} by a child of this process: `shoal layer-index`, at the lowest priority, with bounds of its own. */
import { open, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { Failure, isFailureCode } from '../failure.ts'
import { parseJson } from '../json.ts'
import { factsOf } from '../layer-index/decode.ts'
import { preambleBytes } from '../layer-index/encode.ts'
import { mostHeadBytes } from '../layer-index/limits.ts'
import { algorithmOf, type Digest } from '../oci/digest.ts'
import { digestSchema as digest } from '../oci/schemas.ts'
import type { LayerFile, Maker } from './maker.ts'

const outcomeSchema = z.object({
  layer: digest,
  diffId: digest,
  verdict: z.enum(['right', 'wrong', 'unknown']).optional(),
})
const lineSchema = z.union([
  z.object({ read: z.number().int().min(0) }),
  outcomeSchema,
  z.object({ code: z.string().refine(isFailureCode), message: z.string().max(4096) }),
])

/** This very binary, also when another has taken its place; or the source with the same runtime. */
const ownCommand: readonly string[] = import.meta.url.includes('/$bunfs/')
  ? ['/proc/self/exe']
  : [process.execPath, join(import.meta.dir, '../main.ts')]

export class ChildMaker implements Maker {
  readonly #command: readonly string[]

  constructor(command: readonly string[] = ownCommand) {
    this.#command = command
  }

  async make(layer: LayerFile, out: string, progress: (bytes: number) => void, signal: AbortSignal): Promise<Digest> {
    try {
      return (await this.#run(layer, out, [], progress, signal)).diffId
    } catch (error) {
      await unlink(out).catch(() => {})
      throw error
    }
  }

  async check(layer: LayerFile, index: string, signal: AbortSignal): Promise<'right' | 'wrong' | 'unknown'> {
    const { verdict } = await this.#run(layer, index, ['--check'], () => {}, signal)
    if (!verdict) throw new Failure('internal', 'shoal layer-index --check came to no verdict')
    return verdict
  }

  async about(index: string): Promise<{ readonly layer: Digest; readonly diffId: Digest }> {
    const file = await open(index, 'r')
    try {
      const head = new Uint8Array(preambleBytes + mostHeadBytes)
      const { bytesRead } = await file.read(head, 0, head.length, 0)
      const { layer, diffId } = factsOf(head.subarray(0, bytesRead)).said
      return { layer, diffId }
    } finally {
      await file.close()
    }
  }

  /** What the child said at its end. @throws {Failure} what it said of why it could not */
  async #run(
    layer: LayerFile,
    index: string,
    flags: readonly string[],
    progress: (bytes: number) => void,
    signal: AbortSignal,
  ): Promise<z.infer<typeof outcomeSchema>> {
    signal.throwIfAborted()
    const args = ['layer-index', layer.path, index, '--algorithm', algorithmOf(layer.digest), ...flags]
    const child = Bun.spawn([...this.#command, ...args], { stdio: ['ignore', 'pipe', 'pipe'], cwd: '/' })
    const stop = () => child.kill('SIGKILL')
    signal.addEventListener('abort', stop)
    try {
      let outcome: z.infer<typeof outcomeSchema> | undefined
      let failure: Failure | undefined
      for await (const line of linesOf(child.stdout)) {
        const said = lineSchema.safeParse(jsonOf(line)).data
        if (!said) continue
        if ('read' in said) progress(said.read)
        else if ('layer' in said) outcome = said
        else failure = new Failure(said.code, said.message)
      }
      const [err, code] = await Promise.all([new Response(child.stderr).text(), child.exited])
      signal.throwIfAborted()
      if (failure) throw failure
      if (!outcome) throw new Failure('unavailable', `shoal layer-index ended with ${code}: ${err.trim().slice(-300)}`)
      if (outcome.layer !== layer.digest) throw new Failure('corrupt', `the file of ${layer.digest} is not that layer`)
      return outcome
    } finally {
      signal.removeEventListener('abort', stop)
      child.kill('SIGKILL')
    }
  }
}

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder()
  let rest = ''
  for await (const bytes of stream) {
    rest += decoder.decode(bytes, { stream: true })
    const lines = rest.split('\n')
    rest = lines.pop() ?? ''
    if (rest.length > 65_536) throw new Failure('internal', 'shoal layer-index does not say what it should')
    yield* lines
  }
  if (rest !== '') yield rest
}

function jsonOf(text: string): unknown {
  try {
    return parseJson(text)
  } catch {
    return undefined
  }
}
