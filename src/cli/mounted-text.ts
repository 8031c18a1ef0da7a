/** How much of what is mounted is here, for people. */
import prettyBytes from 'pretty-bytes'

interface Sums {
  readonly size: number
  readonly here: number
  readonly deduped: number
  readonly complete: boolean
}

/** `12 MiB of 830 MiB are here, 3 MiB of them from other layers` */
export function hereText({ size, here, deduped, complete }: Sums): string {
  const bytes = (count: number) => prettyBytes(count, { binary: true })
  return (
    (complete ? `all ${bytes(size)} are here` : `${bytes(here)} of ${bytes(size)} are here`) +
    (deduped > 0 ? `, ${bytes(deduped)} of them from other layers` : '')
  )
}
