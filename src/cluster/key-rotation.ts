/**
 * A cluster key is changed in three steps, and after each the same file goes to every node before the next step: a new
 * key admits beside the one in use; it is used, and the old one still admits; the old one is gone. At no moment two nodes
 * are without a key in common, in whatever order they get the file. Pure.
 */
import { ClusterKey, parseClusterKeys } from './cluster-key.ts'

/** Stands before a key that admits and is not to be used yet. */
const waiting = '# next: admits already; used once every node has this file'

export interface Rotation {
  /** What the file should say now. */
  readonly text: string
  /** 1, 2 or 3. */
  readonly step: number
  readonly said: string
}

/**
 * The step that comes next for a file that says `text`.
 * @param secret for a new key, 32 random bytes
 * @throws {Failure} `internal` if that is no file of keys
 */
export function rotate(text: string, where: string, secret: Uint8Array): Rotation {
  const [first, second, ...others] = parseClusterKeys(text, where) as [ClusterKey, ...ClusterKey[]]
  if (!second) {
    const next = new ClusterKey(secret)
    return {
      step: 1,
      text: `${textOf(first)}${waiting}\n${textOf(next)}`,
      said: `${next.fingerprint} admits beside ${first.fingerprint}, which is still used`,
    }
  }
  if (text.includes(waiting)) {
    return {
      step: 2,
      text: [second, first, ...others].map(textOf).join(''),
      said: `${second.fingerprint} is used, and ${first.fingerprint} still admits`,
    }
  }
  const gone = [second, ...others].map(({ fingerprint }) => fingerprint).join(' and ')
  return { step: 3, text: textOf(first), said: `${first.fingerprint} alone admits; ${gone} is gone` }
}

function textOf(key: ClusterKey): string {
  return new TextDecoder().decode(key.file)
}
