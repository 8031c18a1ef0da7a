/** Numbers, times and names as the page writes them. Pure. */
import prettyBytes from 'pretty-bytes'
import { largestUnits } from '../../span.ts'

export function bytes(count: number): string {
  return prettyBytes(Math.round(count), { binary: true, maximumFractionDigits: count >= 1024 ? 1 : 0 })
}

/** What does not move, or is what is left of a measure that forgets, is a dash: easier to pass over. */
export function rate(perSecond: number): string {
  return perSecond < 512 ? '–' : `${bytes(perSecond)}/s`
}

/** Rounded down: what is not whole is not at 100%. */
export function share(part: number, whole: number): number {
  return whole <= 0 ? 0 : Math.min(100, Math.floor((part / whole) * 100))
}

/** `3d 4h`, `5m 2s`: the two largest units. */
export function span(seconds: number): string {
  return largestUnits(seconds)
    .filter(([count], i) => i === 0 || count > 0)
    .map(([count, unit]) => `${count}${unit}`)
    .join(' ')
}

/** How long ago, one unit: rows of them are compared at a glance. */
export function ago(time: string, now: number): string {
  const seconds = (now - Date.parse(time)) / 1000
  return seconds < 5 ? 'just now' : `${span(seconds).split(' ')[0]} ago`
}

/** How long until then. */
export function left(time: string, now: number): string {
  return span((Date.parse(time) - now) / 1000)
}

/** The end of a node's id is what differs; its beginning is the same for all. */
export function shortNode(id: string): string {
  return id.length > 12 ? `…${id.slice(-8)}` : id
}

export function shortDigest(digest: string): string {
  return digest.replace(/^(\w+:)?(.{12}).*$/, '$2')
}

/** The host of a node's URL. */
export function hostOf(url: string): string {
  return URL.canParse(url) ? new URL(url).hostname : url
}

/** `2 nodes`, `1 node` */
export function count(number: number, one: string, many = `${one}s`): string {
  return `${number.toLocaleString('en')} ${number === 1 ? one : many}`
}
