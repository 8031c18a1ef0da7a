/** The keys of the cluster as they are now: the first is used, all of them admit. Never empty. */
import type { ClusterKey } from './cluster-key.ts'

export class KeyRing {
  #keys: readonly [ClusterKey, ...ClusterKey[]]
  readonly #listeners: ((gone: readonly ClusterKey[]) => void)[] = []

  /** @param keys at least one */
  constructor(keys: readonly ClusterKey[]) {
    this.#keys = some(keys)
  }

  get current(): ClusterKey {
    return this.#keys[0]
  }
  get keys(): readonly ClusterKey[] {
    return this.#keys
  }

  /** The key that admits under that fingerprint. */
  find(fingerprint: string): ClusterKey | undefined {
    return this.#keys.find((key) => key.fingerprint === fingerprint)
  }

  /** From now on these. False if they are what they were. @param keys at least one */
  replace(keys: readonly ClusterKey[]): boolean {
    const before = this.#keys
    const after = some(keys)
    if (before.map(nameOf).join() === after.map(nameOf).join()) return false
    this.#keys = after
    const gone = before.filter((key) => !this.find(key.fingerprint))
    for (const listener of this.#listeners) listener(gone)
    return true
  }

  /** Told after each change, with the keys that admit no more. */
  onChange(listener: (gone: readonly ClusterKey[]) => void): void {
    this.#listeners.push(listener)
  }

  /** `1f2e3d4c5b6a, and 6a5b4c3d2e1f admits too` */
  toString(): string {
    const [first, ...others] = this.#keys.map(nameOf)
    return others.length === 0 ? `${first}` : `${first}, and ${others.join(', ')} admits too`
  }
}

function some(keys: readonly ClusterKey[]): readonly [ClusterKey, ...ClusterKey[]] {
  const [first, ...others] = keys
  if (!first) throw new Error('a key ring without a key')
  return [first, ...others]
}

function nameOf(key: ClusterKey): string {
  return key.fingerprint
}
