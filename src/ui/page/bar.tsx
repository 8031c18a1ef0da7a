import { share } from './words.ts'

/** Two parts: what came from peers or was here, and what the source had to send. */
export function Bar({
  name,
  done,
  fromSource,
  size,
}: {
  name: string
  done: number
  fromSource: number
  size: number
}) {
  const part = (amount: number) => `${size === 0 ? 0 : Math.min(100, (amount / size) * 100)}%`
  return (
    <div
      class="bar"
      role="progressbar"
      aria-label={name}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={share(done, size)}
    >
      <span class="part peers" style={{ width: part(Math.max(0, done - fromSource)) }} />
      <span class="part source" style={{ width: part(Math.min(done, fromSource)) }} />
    </div>
  )
}
