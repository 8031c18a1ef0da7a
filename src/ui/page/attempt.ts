/** What the visitor has the node do: where that is refused, why stays to be read until something else is tried. */
import { Unauthorized } from './api.ts'

/** Why it was not done, for the part of the page where it was tried. */
export interface Refusal {
  readonly of: 'removal' | 'preheats' | 'bans'
  readonly why: string
}

/** Its sentence, or nothing where it is of another part. */
export function whyNot(refusal: Refusal | undefined, of: Refusal['of']): string {
  return refusal?.of === of ? refusal.why : ''
}

export interface Attempt {
  readonly of: Refusal['of']
  act(): Promise<void>
  /** Asks for what has changed by it. */
  look(): Promise<void>
}

export interface Page {
  choose(change: { refusal: Refusal | undefined }): void
  /** Of a question: it is asked again by and by. */
  failed(error: unknown): void
}

/** Never throws. */
export async function attempt({ of, act, look }: Attempt, { choose, failed }: Page): Promise<void> {
  choose({ refusal: undefined })
  try {
    await act()
  } catch (error) {
    if (error instanceof Unauthorized) failed(error)
    else choose({ refusal: { of, why: error instanceof Error ? error.message : String(error) } })
    return
  }
  await look().catch(failed)
}
