/** Nothing where `why` is empty. */
export function Refused({ why, id }: { why: string; id?: string }) {
  if (why === '') return null
  return (
    <p id={id} class="refusal" role="alert">
      {why}
    </p>
  )
}
