/** What the page asks: for the token, and whether it is meant. */
import { useEffect, useRef, useState } from 'preact/hooks'
import type { BlobFacts } from '../../admin/view.ts'
import { Refused } from './refused.tsx'
import { bytes, shortDigest } from './words.ts'

/** Opens as soon as it is there, so that the browser keeps the focus inside and gives it back. */
function useOpen() {
  const dialog = useRef<HTMLDialogElement>(null)
  useEffect(() => dialog.current?.showModal(), [])
  return dialog
}

export function TokenDialog({ refusal, onToken }: { refusal: string; onToken(token: string): void }) {
  const [token, setToken] = useState('')
  const dialog = useOpen()
  return (
    <dialog ref={dialog} aria-labelledby="token" onCancel={(event) => event.preventDefault()}>
      <form
        onSubmit={(event) => {
          event.preventDefault()
          if (token.trim() !== '') onToken(token.trim())
        }}
      >
        <h2 id="token">Token of this node</h2>
        <p>
          It is in the file that <code>--admin-token-file</code> names, and is kept until this tab is closed.
        </p>
        <label>
          Token
          <input
            type="password"
            autocomplete="off"
            required
            value={token}
            aria-describedby={refusal ? 'refusal' : undefined}
            onInput={({ currentTarget }) => setToken(currentTarget.value)}
          />
        </label>
        <Refused id="refusal" why={refusal} />
        <div class="buttons">
          <button type="submit" class="main">
            Go on
          </button>
        </div>
      </form>
    </dialog>
  )
}

export interface RemoveProps {
  readonly blob: BlobFacts
  readonly refusal: string
  onRemove(): void
  onClose(): void
}

export function RemoveDialog({ blob, refusal, onRemove, onClose }: RemoveProps) {
  const dialog = useOpen()
  return (
    <dialog ref={dialog} aria-labelledby="remove" onClose={onClose}>
      <h2 id="remove">Remove {shortDigest(blob.digest)}?</h2>
      <p>
        {bytes(blob.size)}
        {blob.repositories[0] ? ` of ${blob.repositories[0]}` : ''}. Other nodes keep theirs; it comes back when it is
        pulled again. What is being read goes when it is done.
      </p>
      <Refused why={refusal} />
      <div class="buttons">
        <button type="button" onClick={() => dialog.current?.close()}>
          Keep
        </button>
        <button type="button" class="main danger" onClick={onRemove}>
          Remove
        </button>
      </div>
    </dialog>
  )
}
