/** How far somebody has followed the changes of a database: by kind, the number of the last one that was heard of. */
export interface Followed {
  readonly tags: number
  readonly contents: number
}

/**
 * Whether the database with these last changes can be the one that was followed so far. One that has fewer was restored from
 * a backup: what has these numbers there, or gets them, is something else, and it is to be followed from the first one on.
 */
export function isBehind<K extends keyof Followed>(last: Pick<Followed, K>, followed: Pick<Followed, K>): boolean {
  return (Object.keys(followed) as K[]).some((kind) => last[kind] < followed[kind])
}
