/** What a seed is told to read for the node that asks for it. Pure. */
import type { FetchOrder, Schedule } from './messages.ts'

export function orderOf({ location, part, size }: Pick<Schedule, 'location' | 'part' | 'size'>): FetchOrder {
  return { location, ...(part ? { part } : {}), ...(size === undefined ? {} : { size }) }
}
