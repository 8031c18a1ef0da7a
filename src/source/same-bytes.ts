/** Whether an answer has the bytes that it should have, read no further than that takes. */
import { Failure } from '../failure.ts'
import type { Answer } from './answer.ts'

/** What is read of an answer before the bytes that are asked for, where a registry does not send parts. */
export const mostSkippedBytes = 16 * 1024 * 1024

/** @throws {Failure} `corrupt` where that cannot be told at a reasonable cost; as reading the answer does */
export async function sameBytes(answer: Answer, skip: number, bytes: Uint8Array): Promise<boolean> {
  const end = skip + bytes.length
  let at = 0
  try {
    if (skip > mostSkippedBytes) {
      throw new Failure('corrupt', `registry ${answer.upstream.registry} does not send a part of what it has`)
    }
    for await (const chunk of answer.chunks()) {
      const first = Math.max(0, skip - at)
      const part = chunk.subarray(first, Math.max(first, end - at))
      const from = Math.max(0, at - skip)
      if (Buffer.compare(part, bytes.subarray(from, from + part.length)) !== 0) return false
      at += chunk.length
      if (at >= end) return true
    }
    return at >= end
  } finally {
    answer.close()
  }
}
